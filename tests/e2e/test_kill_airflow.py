"""An Airflow scheduler is killed while it builds marts and a micro-batch is under way, and then the Spark driver in the
middle of another: nothing changes, and the tables equal the reference."""

from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest

from experiments.faults.journal import Journal, seconds
from jobs.rust_engines.publish import MARTS, publish_day
from lakehouse.airflow_api import AirflowClient
from lakehouse.compare import compare
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.delta import scan, table_exists
from lakehouse.drained import wait_until_drained
from lakehouse.ledger import audit
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.settings import Settings
from tests.faults.killing import PATIENCE_SECONDS, TABLES, back, flowing, kill, running
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


def test_scheduler_killed_while_marts_are_built_and_spark_driver_between_a_batch_s_start_and_its_commit(
    stack: "Stack", seed: int
) -> None:
    stack.ensure("kafka", "minio", "postgres")
    settings = parsed_airflow(stack)
    journal, driver = Journal(settings), job_program(SPARK_INGEST)
    with running(settings, JOBS[SPARK_INGEST]):
        with flowing(settings, DAY, seed) as flow, AirflowClient(settings) as airflow:
            until(lambda: DAY in days(settings), PATIENCE_SECONDS, "the day is in silver", every=2)
            airflow.unpause("backfill_marts")
            interrupted = airflow.trigger("backfill_marts", BUILD)

            def both_under_way() -> int | None:
                working = "running" in airflow.task_states(interrupted).values()
                return journal.open_batch("bronze") if working else None

            batch = until(both_under_way, PATIENCE_SECONDS, "a task and a batch", every=0.5)
            driver_pid = Supervisor(settings).status(driver).pid
            scheduler = kill(settings, "airflow-scheduler")
            back(settings, scheduler)
            assert Supervisor(settings).status(driver).pid == driver_pid

            cut_off = until(lambda: journal.open_batch("silver"), PATIENCE_SECONDS, "a batch with silver committed")
            killed = kill(settings, driver)
            flow.hurry()
            back(settings, killed)
        ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
        audited = audit(settings, ends, live=False)
        with AirflowClient(settings) as airflow:
            airflow.wait(interrupted, PATIENCE_SECONDS)
            airflow.wait(airflow.trigger("backfill_marts", BUILD), PATIENCE_SECONDS)
    for other in days(settings) - {DAY}:
        for mart in MARTS:
            publish_day(settings, mart, other)
    comparison = compare(settings, [*TABLES, *MARTS], ends)

    assert [t for t in comparison.tables if not t.equal] == []
    assert comparison.accounting.balanced
    # Flink's ingester doesn't run here, so bronze has no transactions; silver's are Spark's own, and audited.
    assert [found for found in audited.findings if found.layer != "bronze.transactions"] == []
    (begun, *_), (ended,) = journal.lines(batch, "begin"), journal.lines(batch, "end")
    assert seconds(begun) < scheduler.at < seconds(ended)
    first, *again = journal.lines(cut_off, "begin")
    (ended,) = journal.lines(cut_off, "end")
    assert seconds(first) < killed.at < seconds(again[0]) < seconds(ended)
    assert killed.after(ends) > 1_000
