"""Schedules of faults, run as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lakehouse.contracts.core import Core
from lakehouse.settings import ROOT


def outcomes_of(folder: Path, *arguments: object, core: Core = Core.SPARK) -> list[dict[str, Any]]:
    """What `lakehouse faults` with these arguments came to, on a stack of this core in `folder`; all of it must be
    exact."""
    results = folder / "results.jsonl"
    command = (sys.executable, "-m", "cli", "faults", *map(str, arguments), "--results", str(results))
    environment = os.environ | {"LAKEHOUSE_HOME": str(folder / "home"), "LAKEHOUSE_CORE": core}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line) for line in results.read_text().splitlines()]
    for outcome in outcomes:
        assert (outcome["verdict"], outcome["ledger"]) == ("exact", "0 lost, 0 doubled, 0 altered")
        assert outcome["rows_compared"] > outcome["records"]
        assert any(fault["injected"] for fault in outcome["schedule"]["faults"])
    return outcomes
