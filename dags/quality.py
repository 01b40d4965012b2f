"""Checks the tables' expectations."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from dags.assets import table_asset, topic_asset
from infra.airflow.quality import QualityOperator
from lakehouse.contracts.tables import checked_tables

KEPT = [table_asset("ops.quality_results"), table_asset("quarantine.rows"), topic_asset("shop.alerts")]
"""What a check writes."""

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

One Great Expectations suite per silver and gold table, and one for the dead letters, generated from the table's
contract; one task per table. A failed expectation fails the task, and `shop.alerts` gets a message, which the job
`notifier` posts; another when the table is as expected again. Freshness, volume, the share of dead letters and what
`parity` found are expectations too.

The results are appended to `ops.quality_results`, with rows and seconds. Rows that fail go to `quarantine.rows`, with
the expectation's name and this run's id (`lakehouse table read quarantine.rows`). Each task's button *Data Docs* opens
the page with every expectation and what it observed (also in the menu, *Data Docs*).

The DAG `backfill_marts` runs the suites of the tables that it reads as gates before it publishes anything.
""",
):
    for name in checked_tables():
        QualityOperator(table=name, inlets=[table_asset(name)], outlets=KEPT)
