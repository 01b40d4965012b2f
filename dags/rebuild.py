"""Rebuilds silver and gold of some days from bronze, beside the tables that serve."""

from datetime import datetime

from airflow.sdk import DAG, Param

from dags.assets import table_asset
from infra.airflow.remote import RemoteProcessOperator
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import EVENTS

with DAG(
    "rebuild",
    schedule=None,
    auto_register=CORE is Core.SPARK,  # whose tables it makes
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["batch"],
    params={
        "from": Param(
            "2026-01-01", type="string", format="date", title="From", description="First event date, UTC, included."
        ),
        "to": Param("2026-01-01", type="string", format="date", title="To", description="Last event date, included."),
    },
    doc_md="""
### Rebuild

A Spark batch job computes silver and gold for a range of event dates from bronze into staging tables: what the stream
made must equal it. It runs as a process outside Airflow while the task waits, deferred. Marking the task failed or
clearing it stops that process; a cleared task starts a new one after the old one is gone.
""",
):
    RemoteProcessOperator(
        task_id="rebuild",
        module="jobs.batch.rebuild",
        inlets=[table_asset(f"bronze.{event.table}") for event in EVENTS.values()],
        arguments=["--from", "{{ params['from'] }}", "--to", "{{ params['to'] }}"],
    )
