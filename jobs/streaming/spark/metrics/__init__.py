"""What events touch of tables whose scope is more than a key, in Spark's own SQL. What rows are is `refresh.sql`."""
