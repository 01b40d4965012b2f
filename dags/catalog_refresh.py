"""Carries changes of the catalogue from PostgreSQL into Kafka."""

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

A version that is no valid event (`valid_from` is `infinity`, say) is set aside, and the others are published.
`all_are_events` fails then and names it, with its table, number, key and what is wrong, in each run until somebody has
corrected or deleted it.
""",
):

    @task(outlets=[topic_asset("shop.products"), topic_asset("shop.profiles")], retries=2)
    def publish_changes() -> dict:
        """Returns how many versions went to each topic, and which were set aside."""
        from lakehouse.catalog import refresh
        from lakehouse.settings import load_settings

        result = refresh(load_settings())
        named = [str(version) for version in result.named]
        return {
            "products": result.products,
            "profiles": result.profiles,
            "repeated": result.repeated,
            "set_aside": result.set_aside,
            "named": named,
        }

    # A task of its own: what was published is published, and says so to those that wait for it.
    @task
    def all_are_events(published: dict) -> None:
        import logging

        from airflow.sdk.exceptions import AirflowFailException

        from lakehouse.catalog import REMEDY

        for line in published["named"]:
            logging.getLogger(__name__).warning("set aside: %s", line)
        if published["set_aside"]:
            # A second look would find the same.
            found = f"{published['set_aside']} versions set aside, since they are no valid events"
            raise AirflowFailException(f"{found}: {'; '.join(published['named'][:10])}. {REMEDY}")

    all_are_events(publish_changes())
