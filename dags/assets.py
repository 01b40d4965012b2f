"""Tables and topics as Airflow's assets: they join the DAG that writes one with those that read it."""

from airflow.sdk import Asset


def table_asset(table: str) -> Asset:
    return Asset(name=table, uri=f"delta://lakehouse/{table.replace('.', '/')}", group="table")


def topic_asset(topic: str) -> Asset:
    return Asset(name=topic, uri=f"kafka-topic://lakehouse/{topic}", group="topic")
