"""Jobs replaced by the version on disk while events flow: nothing lost, nothing doubled, by the ledger."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import pytest

from infra.faults.journal import Journal
from jobs.catalog import JOBS
from lakehouse.compare import compare
from lakehouse.contracts.tables import INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.drained import wait_until_drained
from lakehouse.flink_rest import latest_checkpoints
from lakehouse.ledger import audit
from lakehouse.runtime.reconcile import start, stop, view
from lakehouse.runtime.upgrade import UpgradeError, upgrade
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import current_checkpoint, last_spark_batch
from tests.faults.killing import PATIENCE_SECONDS, flowing
from tests.faults.test_kill_spark import TABLES
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

DAY = date(2026, 3, 12)
SPARK, FLINK = JOBS[SPARK_INGEST], JOBS[INGEST_TRANSACTIONS]


@pytest.fixture(scope="module")
def settings(stack: "Stack") -> Iterator[Settings]:
    settings = stack.ensure("kafka", "minio", "postgres", "flink")
    for job in (FLINK, SPARK):
        start(settings, job, "test")
    yield settings
    for job in (FLINK, SPARK):
        stop(settings, job, "test")


def test_flink_goes_on_from_a_savepoint_and_spark_with_a_new_checkpoint_at_the_offsets_where_its_batch_ended(
    settings: Settings, seed: int
) -> None:
    journal, before = Journal(settings), current_checkpoint(settings, SPARK.name)
    with flowing(settings, DAY, seed) as flow:
        until(lambda: journal.open_batch("silver"), PATIENCE_SECONDS, "a batch with silver committed")
        stop(settings, SPARK, "test")
        with pytest.raises(UpgradeError, match="half done"):
            upgrade(settings, SPARK, "test", new_checkpoint=True)
        start(settings, SPARK, "test")
        half_done = last_spark_batch(settings, SPARK.name)
        until(lambda: last_spark_batch(settings, SPARK.name) != half_done, PATIENCE_SECONDS, "the batch is done")

        old = view(settings, SPARK).actual.handle
        upgraded = upgrade(settings, SPARK, "test", new_checkpoint=True)
        assert upgraded.handle != old
        savepoint = upgrade(settings, FLINK, "test").goes_on_from
        assert flow.flowing
        flow.hurry()
        until(lambda: last_spark_batch(settings, SPARK.name), PATIENCE_SECONDS, "a batch of the new checkpoint")
    ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    comparison = compare(settings, TABLES, ends)
    audited = audit(settings, ends, live=False)

    assert latest_checkpoints(settings, FLINK.name)["restored"]["external_path"] == savepoint
    assert current_checkpoint(settings, SPARK.name).number == before.number + 1
    assert [t for t in comparison.tables if not t.equal] == []
    assert comparison.accounting.balanced
    assert not audited.findings


def test_a_job_that_keeps_what_it_has_seen_in_its_checkpoint_gets_no_new_one(settings: Settings) -> None:
    running = view(settings, FLINK).actual.handle
    with pytest.raises(UpgradeError, match=f"{FLINK.name} keeps in its checkpoint"):
        upgrade(settings, FLINK, "test", new_checkpoint=True)
    assert view(settings, FLINK).actual.handle == running
