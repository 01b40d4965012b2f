"""Records that were brought in under another rule of validity, judged by today's."""
