"""A fresh schedule of faults ends exact."""

from pathlib import Path

import pytest

from tests.faults.schedules import outcomes_of

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(3600)]


def test_a_fresh_schedule_ends_exact(seed: int, tmp_path: Path) -> None:
    """More of them: `lakehouse faults --schedules N`."""
    (outcome,) = outcomes_of(tmp_path, "--seed", seed)
    assert outcome["seed"] == seed
