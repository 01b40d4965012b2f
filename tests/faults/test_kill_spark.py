"""The Spark driver is killed in the middle of a micro-batch while events flow: the tables equal the reference."""

from datetime import date
from typing import TYPE_CHECKING

import pytest

from infra.faults.journal import Journal, seconds
from jobs.catalog import JOBS
from lakehouse.compare import COMPARED, compare
from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.drained import wait_until_drained
from lakehouse.ledger import audit
from lakehouse.runtime.supervisor import job_program
from tests.faults.killing import PATIENCE_SECONDS, back, flowing, kill, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

WITHOUT_EVENTS = {"bronze.products", "bronze.profiles", "silver.products", "silver.profiles"}
"""Nothing is sent to the changelogs here, and a comparison of no rows proves nothing."""
TABLES = [n for n in COMPARED if n in JOBS[SPARK_INGEST].writes and n not in WITHOUT_EVENTS]
DAY = date(2026, 3, 2)


def test_spark_driver_killed_between_a_batch_s_start_and_its_commit(stack: "Stack", seed: int) -> None:
    settings = stack.ensure("kafka", "minio", "postgres")
    journal = Journal(settings)
    with running(settings, JOBS[SPARK_INGEST]):
        with flowing(settings, DAY, seed) as flow:
            batch = until(lambda: journal.open_batch("silver"), PATIENCE_SECONDS, "a batch with silver committed")
            killed = kill(settings, job_program(SPARK_INGEST))
            flow.hurry()
            back(settings, killed)
        ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
        comparison = compare(settings, TABLES, ends)
        audited = audit(settings, ends, live=False)

    assert [t for t in comparison.tables if not t.equal] == []
    assert comparison.accounting.balanced
    # Flink's ingester doesn't run here, so bronze has no transactions; silver's are Spark's own, and audited.
    assert [found for found in audited.findings if found.layer != "bronze.transactions"] == []
    first, *again = journal.lines(batch, "begin")
    (ended,) = journal.lines(batch, "end")
    assert seconds(first) < killed.at < seconds(again[0]) < seconds(ended)
    assert killed.after(ends) > 1_000
