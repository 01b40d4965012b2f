"""What `tests/core` says of the whole lakehouse on Flink's ingest and the follower, in a process of its own: the
contracts of a process are those of one core."""

import os
import subprocess
import sys

import pytest

from lakehouse.contracts.core import Core
from lakehouse.settings import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1800)]


def test_the_lakehouse_holds_with_the_follower_as_its_core(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--seed", str(seed), "tests/core"],
        cwd=ROOT,
        env=os.environ | {"LAKEHOUSE_CORE": Core.FOLLOWER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
