"""timeseries: recent points in memory, history in tiles, SQL with time functions; the class of Amazon Timestream."""
