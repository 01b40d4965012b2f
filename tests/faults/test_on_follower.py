"""What `tests/core` says of the whole lakehouse on Flink's ingest and the follower, in a process of its own: the
contracts of a process are those of one core, and the others here are of the Spark driver's."""

import os
import subprocess
import sys

import pytest

from lakehouse.contracts.core import Core
from lakehouse.settings import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1800)]


def run_on_follower(folder: str, seed: int) -> None:
    """All tests of the folder pass; what they say is told if not."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--durations=5", "--seed", str(seed), folder],
        cwd=ROOT,
        env=os.environ | {"LAKEHOUSE_CORE": Core.FOLLOWER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lakehouse_holds_after_the_change_over_to_the_follower(seed: int) -> None:
    run_on_follower("tests/core", seed)
