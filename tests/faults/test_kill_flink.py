"""Flink's TaskManager and JobManager are killed while events flow: Redis and the alerts equal the reference."""

from collections.abc import Iterator
from datetime import date
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse.compare import LIVE, compare
from lakehouse.contracts.jobs import JOBS
from lakehouse.drained import wait_until_drained
from lakehouse.drained.positions import group_positions
from lakehouse.flink_rest import latest_checkpoints
from lakehouse.runtime.reconcile import Step, reconcile
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.faults.killing import PATIENCE_SECONDS, Kill, back, flowing, kill, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

DASHBOARD, WRITER = JOBS["live_dashboard"], JOBS["dashboard_writer"]
BACK_BY_RECONCILING_SECONDS = 120


def completed(settings: Settings) -> dict[str, Any]:
    """The newest complete checkpoint of the job."""
    checkpoint: dict[str, Any] = latest_checkpoints(settings, DASHBOARD.name)["completed"]
    return checkpoint


def sent_after_the_last_checkpoint(settings: Settings, killed: Kill) -> int:
    """Records that Kafka held at the kill and no checkpoint covered: what the restart must read again."""
    committed = group_positions(settings, DASHBOARD.name)
    return sum(
        max(0, end - committed.get(topic, {}).get(partition, 0))
        for topic in DASHBOARD.reads
        for partition, end in killed.ends[topic].items()
    )


@pytest.fixture(scope="module")
def settings(stack: "Stack") -> Iterator[Settings]:
    settings = stack.ensure("kafka", "minio", "postgres", "valkey", "flink")
    with running(settings, DASHBOARD, WRITER):
        yield settings


def test_taskmanager_and_then_jobmanager_killed_between_checkpoints(settings: Settings, seed: int) -> None:
    with flowing(settings, date(2026, 3, 3), seed) as flow:
        before = checkpoint_of_events(settings)
        killed = kill(settings, "flink-taskmanager")
        uncovered = sent_after_the_last_checkpoint(settings, killed)
        back(settings, killed)
        until(lambda: _restored_after(settings, before), 120, "a restore from a checkpoint that this run made")
        assert uncovered > 0

        before = checkpoint_of_events(settings)
        killed = kill(settings, "flink-jobmanager")
        uncovered = sent_after_the_last_checkpoint(settings, killed)
        flow.hurry()
        back(settings, killed)
        began = monotonic()
        until(lambda: _resubmitted(settings), BACK_BY_RECONCILING_SECONDS, "the job is back")
        assert monotonic() - began < BACK_BY_RECONCILING_SECONDS
        until(lambda: _restored_after(settings, before), 60, "a restore from a checkpoint that this run made")
        assert uncovered > 0
    ends = wait_until_drained(settings, PATIENCE_SECONDS, tables=False)
    comparison = compare(settings, LIVE, ends)
    assert [t for t in comparison.tables if not t.equal] == []
    assert killed.after(ends) > 1_000


def checkpoint_of_events(settings: Settings) -> dict[str, Any]:
    """The second of two checkpoints, between which events came; returns the first."""
    first = until(lambda: completed(settings), 120, "a checkpoint")
    until(lambda: completed(settings)["id"] > first["id"], 60, "a checkpoint of events")
    return first


def _restored_after(settings: Settings, checkpoint: dict[str, Any]) -> bool:
    """The job may have been restored before, when it was started from an earlier run's checkpoint."""
    restored = latest_checkpoints(settings, DASHBOARD.name).get("restored")
    return restored is not None and restored["id"] > checkpoint["id"]


def _resubmitted(settings: Settings) -> bool:
    """What the DAG does each minute; False while the cluster is not ready for it."""
    try:
        (action,) = reconcile(settings, [DASHBOARD])
    except ServiceDownError:
        return False
    return action.step is Step.SUBMITTED
