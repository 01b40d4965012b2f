"""The stateful stream: totals per user kept in Spark's own state store instead of being computed from silver."""
