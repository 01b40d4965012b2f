"""Tables, dead letters, Redis and alerts compared with the reference, row for row, once all is drained."""
