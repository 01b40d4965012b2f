"""Random gold rows, checked; what was checked in a day, and whether all were right."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, open_table, scan, scan_opened
from lakehouse.delta.write import append_ops
from lakehouse.explain.explanation import plain
from lakehouse.explain.keys import NoSuchRowError
from lakehouse.parity.check import SAMPLED, Checked, Key, check_row
from lakehouse.parity.smallest import smallest
from lakehouse.settings import Settings

RESULTS: Final = "ops.parity"
WINDOW: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Objective:
    """Of the rows `checked` since `since`, so many `differed`: zero is the objective."""

    since: datetime
    checked: int
    differed: int

    def __str__(self) -> str:
        return f"{self.differed:,} of {self.checked:,} differ in {WINDOW.total_seconds() / 3600:.0f} h"


def check_sample(settings: Settings, rows: int, seed: int, names: Sequence[str] = SAMPLED) -> list[Checked]:
    """Checks up to `rows` random rows of these tables; keeps the results in ``ops.parity``, and of a wrong row the
    records as a case (`case_path`).

    Raises ServiceDownError: MinIO does not answer.
    """
    choice = random.Random(seed)  # noqa: S311  which rows are looked at is no secret
    now, checked = datetime.now(UTC), []
    for name, key in _keys(settings, rows, choice, names):
        try:
            checked.append(check_row(settings, name, key))
        except NoSuchRowError:
            continue  # refreshed since it was drawn
    for wrong in (found for found in checked if not found.equal):
        save_case(settings, wrong)
    if checked:
        append_ops(
            settings,
            RESULTS,
            [
                {
                    "run_id": f"{now:%Y%m%dT%H%M%S}-{seed}",
                    "checked_at": now,
                    "table": found.table,
                    "row": found.row,
                    "version": found.version,
                    "equal": found.equal,
                    "columns": ", ".join(found.columns) or None,
                }
                for found in checked
            ],
        )
    return checked


def objective(settings: Settings, now: datetime) -> Objective:
    """What the checks of the last 24 hours have found. Raises ServiceDownError."""
    since = now - WINDOW
    try:
        rows = scan(settings, RESULTS).filter(pl.col("checked_at") >= since)
    except TableMissingError:
        return Objective(since, 0, 0)
    checked, differed = rows.select(pl.len(), (~pl.col("equal")).sum().alias("differed")).collect().row(0)
    return Objective(since, checked, differed)


def case_path(settings: Settings, found: Checked) -> Path:
    """Where the records are kept that show a difference."""
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{found.table} {found.row}")
    return settings.home / "parity" / f"{name}.json"


def save_case(settings: Settings, found: Checked) -> Path:
    """Writes the smallest input by which the reference still makes the row that it makes of all: a test case."""
    path = case_path(settings, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    records = smallest(found)
    case = {
        "table": found.table,
        "row": found.row,
        "columns": list(found.columns),
        "stored": plain(found.stored),
        "expected": None if found.expected is None else plain(found.expected),
        "records": [
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "arrival_ms": record.arrival_ms,
                "key": _text(record.key),
                "value": _text(record.value),
            }
            for record in records
        ],
    }
    path.write_text(json.dumps(case, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
    return path


def _keys(settings: Settings, rows: int, choice: random.Random, names: Sequence[str]) -> list[tuple[str, Key]]:
    """Random rows' keys, as many of each table that has any; of a partitioned one from one random day."""
    found: list[tuple[str, Key]] = []
    for number, name in enumerate(names):
        wanted = rows // len(names) + (number < rows % len(names))
        try:
            opened = open_table(settings, name)
        except TableMissingError:
            continue
        held = scan_opened(settings, name, opened)
        if table(name).partition_by:
            days = opened.partitions()
            if not days:
                continue
            day = choice.choice(sorted(partition["event_date"] for partition in days))
            held = held.filter(pl.col("event_date") == datetime.fromisoformat(day).date())
        keys = held.select(table(name).key).collect()
        picked = choice.sample(range(keys.height), min(wanted, keys.height))
        found += [(name, keys.row(n, named=True)) for n in picked]
    return found


def _text(value: bytes | None) -> Any:
    return None if value is None else value.decode("utf-8", "backslashreplace")
