"""Builds the daily marts, one data interval per day."""

from dataclasses import asdict
from datetime import datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, task

from dags.assets import table_asset
from infra.airflow.quality import QualityOperator

READ = (
    "silver.clicks",
    "silver.purchases",
    "silver.products",
    "gold.product_metrics_5m",
    "gold.region_revenue_daily",
)

with DAG(
    "backfill_marts",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2019, 1, 1),
    catchup=False,
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=2),
    # Else a new installation's first run would be yesterday's, which has no tables yet.
    is_paused_upon_creation=True,
    tags=["marts"],
    params={
        "engine": Param(
            "polars",
            type="string",
            enum=["polars", "datafusion"],
            title="Engine",
            description="Whose result is published. Both compute each mart, and they must agree.",
        )
    },
    doc_md="""
### Marts by day

A run covers one UTC day, its data interval. It checks the tables that it reads (a failed suite blocks the marts), then
computes `marts.product_daily` and `marts.region_daily` with Polars and with DataFusion, compares the two row for row,
and publishes that day's rows in one commit. Repeating a day replaces it by the same rows.

For past days use *Trigger -> Backfill* in the UI, or `POST /api/v2/backfills`; a manual run takes the day before its
logical date. Unpause the DAG first: a paused one leaves its runs queued.
""",
):
    gates = [QualityOperator(table=name, inlets=[table_asset(name)]) for name in READ]

    def publish(mart: str):
        @task(task_id=mart, outlets=[table_asset(f"marts.{mart}")], retries=1, retry_delay=timedelta(seconds=10))
        def publish_mart(params: dict, data_interval_start: datetime) -> dict:
            from jobs.rust_engines.publish import publish_day
            from lakehouse.settings import load_settings

            published = publish_day(load_settings(), mart, data_interval_start.date(), params["engine"])
            return asdict(published) | {"day": published.day.isoformat()}

        return publish_mart()

    gates >> publish("product_daily")  # the same gates hold back both
    gates >> publish("region_daily")
