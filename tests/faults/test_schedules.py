"""A fresh schedule of faults ends exact."""

from pathlib import Path

import pytest

from lakehouse.contracts.core import Core
from tests.faults.schedules import outcomes_of

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(3600)]


def test_a_fresh_schedule_ends_exact(seed: int, tmp_path: Path) -> None:
    """Of the follower as the core. More of them, and of the Spark driver's: `lakehouse faults --schedules N`."""
    (outcome,) = outcomes_of(tmp_path, "--seed", seed, core=Core.FOLLOWER)
    assert outcome["seed"] == seed
