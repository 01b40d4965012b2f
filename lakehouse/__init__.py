"""The library that jobs and DAGs share. Importing it starts no engine and opens no connection."""
