"""Follows every Kafka record into the tables and Redis."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from dags.assets import table_asset, topic_asset
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import TABLES

FOLLOWED = ("bronze", "silver", "gold", "marts")
"""The layers in whose tables records are looked for."""

with DAG(
    "audit",
    schedule=CronTriggerTimetable("45 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    tags=["quality"],
    params={
        "wait": Param(
            600,
            type="integer",
            minimum=0,
            title="Patience",
            description="Seconds to wait until what Kafka holds at the start has arrived everywhere.",
        ),
        "full": Param(
            False,
            type="boolean",
            title="From the beginning",
            description="Read again what earlier audits have read: all of Kafka, and all raw values.",
        ),
        "live": Param(
            True,
            type="boolean",
            title="Redis too",
            description="Audit the live values as well, for which Flink and the dashboard writer must run.",
        ),
    },
    doc_md="""
### Audit

Hourly: waits until all that Kafka holds has arrived, then follows every record into bronze, dead letters, silver, gold,
marts and Redis by count and sum of hashes. A record that is lost, doubled or altered fails the task, whose log and
return value name topic, partition and offsets, or the row's key, and the table where it happened. What was found is
appended to `ops.ledger`. By hand: `lakehouse audit`.
""",
):

    @task(
        inlets=[
            *(topic_asset(name) for name in EVENTS),
            *(table_asset(name) for name, table in TABLES.items() if table.layer in FOLLOWED),
        ],
        outlets=[table_asset("ops.ledger")],
        retries=1,
        retry_delay=timedelta(minutes=2),
    )
    def follow_every_record(params: dict) -> dict:
        import logging

        from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

        from lakehouse.drained import wait_until_drained
        from lakehouse.ledger import NothingToAuditError, audit
        from lakehouse.settings import load_settings

        log = logging.getLogger(__name__)
        settings = load_settings()
        ends = wait_until_drained(settings, params["wait"], live=params["live"], refreshes=False, ingest=True)
        try:
            result = audit(settings, ends, live=params["live"], full=params["full"], progress=log.info)
        except NothingToAuditError as error:
            raise AirflowSkipException(str(error)) from error
        for line in (*result.notes, *result.findings):
            log.info("%s", line)
        if not result.clean:
            # A second look would find the same.
            raise AirflowFailException(f"{result.verdict}: {'; '.join(map(str, result.findings[:10]))}")
        return {"verdict": result.summary, "records": result.records, "run_id": result.run_id}

    follow_every_record()
