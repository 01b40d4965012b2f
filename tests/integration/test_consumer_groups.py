"""Groups of consumers on six partitions: who has what, and what a member's end costs the others."""

import uuid
from pathlib import Path

import pytest

from benchmarks.consumer_groups import measure
from jobs.streaming.region_revenue.main import SESSION_SECONDS
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.integration.region_revenue import assert_equals_the_reference

pytestmark = pytest.mark.stack

DELIVERY_SECONDS = 10
"""For a rebalance itself, beside the time that it takes to notice that a member is gone."""


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return stack.ensure("kafka", "postgres").model_copy(update={"namespace": f"g{uuid.uuid4().hex[:10]}"})


def test_eager_takes_every_partition_from_everybody(settings: Settings, tmp_path: Path) -> None:
    seen = measure(settings, "range", 7, "kill", tmp_path / "log")
    assert seen.idle_before == 1
    assert seen.moved >= 1
    assert seen.moved + seen.interrupted == 6
    assert SESSION_SECONDS / 2 < seen.settled_seconds < SESSION_SECONDS + DELIVERY_SECONDS
    assert_equals_the_reference(settings)


def test_cooperative_gives_the_killed_ones_partition_to_the_idle_seventh_and_moves_no_other(
    settings: Settings, tmp_path: Path
) -> None:
    seen = measure(settings, "cooperative-sticky", 7, "kill", tmp_path / "log")
    assert (seen.idle_before, seen.moved, seen.interrupted) == (1, 1, 0)
    assert SESSION_SECONDS / 2 < seen.settled_seconds < SESSION_SECONDS + DELIVERY_SECONDS
    assert max(seen.pause_of_others_ms) < min(seen.pause_of_moved_ms)
    assert_equals_the_reference(settings)


def test_a_group_of_three_has_two_partitions_each_and_one_of_six_has_one(settings: Settings, tmp_path: Path) -> None:
    seen = measure(settings, "cooperative-sticky", 3, "join", tmp_path / "log", joining=3)
    assert (seen.idle_before, seen.each_before, seen.each_after) == (0, [2, 2, 2], [1] * 6)
    assert (seen.moved, seen.interrupted) == (3, 0)
    assert_equals_the_reference(settings)
