"""The log: topics, an idempotent producer and a bounded reader.

Topics are named without the settings' namespace everywhere in this package's interface (``shop.clicks``);
only the calls to Kafka carry it.
"""
