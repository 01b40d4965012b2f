"""Checks the tables' expectations."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from dags.assets import table_asset
from infra.airflow.quality import QualityOperator
from lakehouse.contracts.tables import TABLES

CHECKED = [table.name for table in TABLES.values() if table.layer in ("silver", "gold") and not table.variant_of]

with DAG(
    "quality",
    schedule=CronTriggerTimetable("30 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,
    dagrun_timeout=timedelta(hours=1),
    tags=["quality"],
    doc_md="""
### Quality

One Great Expectations suite per silver and gold table, generated from the table's contract; one task per table. A
failed expectation fails the task. The results are appended to `ops.quality_results`, and each task's button
*Data Docs* opens the page with every expectation and what it observed (also in the menu, *Data Docs*).

The DAG `backfill_marts` runs the suites of the tables that it reads as gates before it publishes anything.
""",
):
    for name in CHECKED:
        QualityOperator(table=name, inlets=[table_asset(name)], outlets=[table_asset("ops.quality_results")])
