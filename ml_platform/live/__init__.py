"""What happens to a model in production: predictions, labels, drift, performance."""
