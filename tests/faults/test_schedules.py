"""Fresh schedules of faults, and every one that ever failed, end exact: run as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(3600)]

FAILED = Path(__file__).with_name("failed_seeds.json")
"""Schedules that once found something; `found` says what it was."""
FRESH = 1
"""About 4 minutes of them; more: `lakehouse faults --schedules N`."""


def test_schedules_that_failed_once_and_fresh_ones_end_exact(seed: int, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("--plan", FAILED, "--seed", seed, "--schedules", FRESH, "--results", results)
    command = (sys.executable, "-m", "cli", "faults", *map(str, arguments))
    environment = os.environ | {"LAKEHOUSE_HOME": str(tmp_path / "home")}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line) for line in results.read_text().splitlines()]
    assert [o["seed"] for o in outcomes][-FRESH:] == list(range(seed, seed + FRESH))
    assert len(outcomes) == FRESH + len(json.loads(FAILED.read_text()))
    for outcome in outcomes:
        assert (outcome["verdict"], outcome["ledger"]) == ("exact", "0 lost, 0 doubled, 0 altered")
        assert outcome["rows_compared"] > outcome["records"]
        assert any(fault["injected"] for fault in outcome["schedule"]["faults"])
