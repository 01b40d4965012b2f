"""Tables and topics as Airflow's assets: they join the DAG that writes one with those that read it."""

from airflow.sdk import Asset

from lakehouse.contracts.tables import TABLES


def table_asset(table: str) -> Asset:
    return Asset(name=table, uri=f"delta://lakehouse/{table.replace('.', '/')}", group="table")


def read_asset(name: str) -> Asset:
    """Of a topic, or of a table."""
    return table_asset(name) if name in TABLES else topic_asset(name)


def topic_asset(topic: str) -> Asset:
    return Asset(name=topic, uri=f"kafka-topic://lakehouse/{topic}", group="topic")
