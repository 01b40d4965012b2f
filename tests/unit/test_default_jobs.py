"""What an installation consists of, by its core and by whether Spark is to be among it."""

import os
import subprocess
import sys

import pytest

from lakehouse.contracts.owners import FOLLOWER, SPARK_INGEST, SPARK_STATE
from lakehouse.settings import ROOT

TOLD = """
from lakehouse.compare import COMPARED
from lakehouse.contracts.jobs import DEFAULT_JOBS
print(*DEFAULT_JOBS, *COMPARED)
"""


def consists_of(**settings: str) -> set[str]:
    """The names of its jobs, and of what is compared: those of a process are of one core."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("LAKEHOUSE_")}
    chosen = {f"LAKEHOUSE_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], cwd=ROOT, env=environment | chosen, check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_beside_the_follower_a_stream_of_spark_runs_and_its_table_is_compared() -> None:
    assert consists_of(CORE="follower") >= {FOLLOWER, SPARK_STATE, f"gold.{SPARK_STATE}"}


@pytest.mark.parametrize("settings", [{"CORE": "follower", "SPARK": "off"}, {"CORE": "spark"}], ids=str)
def test_without_it_nobody_waits_for_it(settings: dict[str, str]) -> None:
    found = consists_of(**settings)
    assert found & {FOLLOWER, SPARK_INGEST}
    assert not found & {SPARK_STATE, f"gold.{SPARK_STATE}"}
