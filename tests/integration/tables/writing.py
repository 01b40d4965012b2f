"""What the writers of a shared table have in common, whatever their engine: each is a process with a journal."""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

NAME = "ops.quality_results"
COUNTERS = ("first counter", "second counter")
"""Rows of `NAME` that the writers count up in `rows_checked`, all in one file: each MERGE touches the others'."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A commit that its writer was told is in the table; `conflicts`: how many attempts others had won before."""

    run_id: str
    rows: int
    conflicts: int = 0


def row(run: str, counted: int = 1) -> dict[str, object]:
    """A row of `NAME` that is known by its `run_id`."""
    numbers = {"version": 1, "rows_checked": counted, "expectations": 1, "failed": 0}
    said = {"run_id": run, "checked_at": datetime(2024, 3, 4, tzinfo=UTC), "table": "t", "success": True}
    return said | numbers | {"day": None, "as_of": None, "seconds": None}


def rows(run: str, number: int) -> list[dict[str, object]]:
    """One to three, so that a count of rows tells commits apart."""
    return [row(run)] * (number % 3 + 1)


def write_on_demand(journal: Path, write: Callable[[int], Acknowledged]) -> None:
    """Says ``ready``, waits for a line like ``60 seconds`` or ``3 commits``, and writes for that long.

    What was acknowledged is on disk before the next commit begins.
    """
    print("ready", flush=True)
    amount, unit = sys.stdin.readline().split()
    started = time.monotonic()
    with journal.open("a", encoding="utf-8") as file:
        for number in itertools.count():
            if (number if unit == "commits" else time.monotonic() - started) >= int(amount):
                return
            file.write(json.dumps(asdict(write(number))) + "\n")
            file.flush()
            os.fsync(file.fileno())


def acknowledged(journal: Path) -> list[Acknowledged]:
    if not journal.exists():
        return []
    return [Acknowledged(**json.loads(line)) for line in journal.read_text(encoding="utf-8").splitlines()]
