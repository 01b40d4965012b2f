"""A plain consumer of purchases whose offsets lie with its results, in PostgreSQL."""
