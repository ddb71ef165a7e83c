"""Where batches come from: folders, object stores, SQL queries, Python functions."""
