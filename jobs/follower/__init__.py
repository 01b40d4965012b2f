"""Silver and gold as followers of Delta logs, on one machine: each table says in its own log what it has read."""
