"""Where a service is asked for predictions: one list for the service and for whoever counts what it answered."""

#: Rows, a batch in columns, and rows with what moved each prediction.
PREDICT, PREDICT_COLUMNS, EXPLAIN = "/predict", "/predict_columns", "/explain"
#: All of them.
ANSWERING = (PREDICT, PREDICT_COLUMNS, EXPLAIN)
