"""Carries changes of the catalogue from PostgreSQL into Kafka."""

from dataclasses import asdict
from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, task

from dags.assets import topic_asset

with DAG(
    "catalog_refresh",
    schedule=CronTriggerTimetable("@hourly", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    tags=["ingest"],
    doc_md="""
### Catalogue refresh

Hourly: versions of products and profiles that PostgreSQL has and the log hasn't are published to `shop.products`
and `shop.profiles`. The Spark job carries them into `silver.products` and `silver.profiles` and re-enriches the
events of their interval. Running it twice publishes nothing twice.
""",
):

    @task(outlets=[topic_asset("shop.products"), topic_asset("shop.profiles")], retries=2)
    def publish_changes() -> dict[str, int]:
        """Returns how many versions went to each topic."""
        from lakehouse.catalog import refresh
        from lakehouse.settings import load_settings

        return asdict(refresh(load_settings()))

    publish_changes()
