"""Each metric in Spark's own SQL, one per file; `windowed.Metric` says what such a file declares."""
