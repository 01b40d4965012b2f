"""An Airflow scheduler is killed while it builds marts and a micro-batch is under way: nothing changes."""

from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest

from infra.faults.journal import Journal, seconds
from jobs.catalog import JOBS
from jobs.rust_engines.publish import MARTS, publish_day
from lakehouse.airflow_api import AirflowClient
from lakehouse.compare import compare
from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.delta import scan, table_exists
from lakehouse.drained import wait_until_drained
from lakehouse.runtime.reconcile import start, stop
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.settings import Settings
from tests.faults.killing import PATIENCE_SECONDS, back, flowing, kill
from tests.faults.test_kill_spark import TABLES
from tests.parsed_airflow import parsed_airflow
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

DAY = date(2026, 3, 5)
BUILD = {"day": DAY.isoformat()}


def days(settings: Settings) -> set[date]:
    """Every event date that silver has; none before it was made."""
    names = ("silver.clicks", "silver.purchases")
    if not all(table_exists(settings, name) for name in names):
        return set()
    dates = pl.concat([scan(settings, name).select("event_date") for name in names])
    return set(dates.unique().collect()["event_date"])


def test_scheduler_killed_while_marts_are_built_and_a_batch_is_under_way(stack: "Stack", seed: int) -> None:
    stack.ensure("kafka", "minio", "postgres")
    settings = parsed_airflow(stack)
    journal = Journal(settings)
    start(settings, JOBS[SPARK_INGEST], "test")
    driver = job_program(SPARK_INGEST)
    try:
        with flowing(settings, DAY, seed) as flow, AirflowClient(settings) as airflow:
            until(lambda: DAY in days(settings), PATIENCE_SECONDS, "the day is in silver", every=2)
            airflow.unpause("backfill_marts")
            interrupted = airflow.trigger("backfill_marts", BUILD)

            def both_under_way() -> int | None:
                working = "running" in airflow.task_states(interrupted).values()
                return journal.open_batch("bronze") if working else None

            batch = until(both_under_way, PATIENCE_SECONDS, "a task and a batch", every=0.5)
            driver_pid = Supervisor(settings).status(driver).pid
            killed = kill(settings, "airflow-scheduler")
            flow.hurry()
            back(settings, killed)
            assert Supervisor(settings).status(driver).pid == driver_pid
        ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
        with AirflowClient(settings) as airflow:
            airflow.wait(interrupted, PATIENCE_SECONDS)
            airflow.wait(airflow.trigger("backfill_marts", BUILD), PATIENCE_SECONDS)
    finally:
        stop(settings, JOBS[SPARK_INGEST], "test")
    for other in days(settings) - {DAY}:
        for mart in MARTS:
            publish_day(settings, mart, other)
    comparison = compare(settings, [*TABLES, *MARTS], ends)

    assert [t for t in comparison.tables if not t.equal] == []
    assert comparison.accounting.balanced
    (begun,), (ended,) = journal.lines(batch, "begin"), journal.lines(batch, "end")
    assert seconds(begun) < killed.at < seconds(ended)
    assert killed.after(ends) > 1_000
