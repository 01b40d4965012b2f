"""The change-over of an installation from the Spark driver to Flink's ingest and the follower.

Run with the contracts of the Spark driver's core. Killed anywhere, it is called again, and goes on.
"""
