"""Random gold rows, and those that differed before, checked; and what people are told of it."""

import hashlib
import json
import random
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from lakehouse.alerts import OPENED, PARITY_DIFFERS, WITHDRAWN, State, TableAlert
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.files import paths, read_files
from lakehouse.delta.write import time_of_next
from lakehouse.escaping import escaped
from lakehouse.explain.keys import NoSuchRowError, as_typed, from_typed
from lakehouse.kafka.alerts import send_alerts
from lakehouse.parity.check import SAMPLED, Checked, Key, check_row
from lakehouse.parity.results import RESULTS, Difference, differences, keep
from lakehouse.parity.smallest import smallest
from lakehouse.plain import plain
from lakehouse.settings import Settings
from lakehouse.shell import arguments

AGAIN: Final = 35
"""How many rows that differed are looked at again at a time."""
_NAMED: Final = 120
"""Characters of a row's name that the name of its case has."""


def check_sample(settings: Settings, rows: int, seed: int, names: Sequence[str] = SAMPLED) -> list[Checked]:
    """Checks up to `rows` random rows of these tables, and again those that differed last; keeps the results in
    ``ops.parity``, and of a wrong row the records as a case (`case_path`). A row that is gone differs no more.

    ``shop.alerts`` gets a message when a table differs, and one when none of its rows does any more.

    Raises:
        ServiceDownError: MinIO, or of an alert Kafka, does not answer.
        DeliveryError: Kafka did not take an alert; the next check sends it.
    """
    choice = random.Random(seed)  # noqa: S311  which rows are looked at is no secret
    now = time_of_next(settings, RESULTS, "checked_at")
    before = differences(settings, now, names)
    checked = [check_again(settings, found) for found in before[:AGAIN]]
    known = {(found.table, found.row) for found in checked}
    for name, key in _keys(settings, rows, choice, names):
        if (name, as_typed(key)) in known:
            continue
        try:
            checked.append(check_row(settings, name, key))
        except NoSuchRowError:
            continue  # refreshed since it was drawn
    wrong, right = ([found for found in checked if found.equal is equal] for equal in (False, True))
    for found in wrong:
        if (found.table, found.row) not in known:
            save_case(settings, found)
    # What differs is kept before people are told, and what doesn't afterwards: where telling fails, the next run finds
    # the same turn again and tells.
    keep(settings, wrong, now, seed)
    if told := turns(before, checked, now):
        send_alerts(settings, told)
    keep(settings, right, now, seed)
    return checked


def check_again(settings: Settings, found: Difference) -> Checked:
    """Checks the row as it is now; one that is gone is equal. Raises what `check_row` raises else."""
    key = from_typed(table(found.table), found.row)
    try:
        return check_row(settings, found.table, key)
    except NoSuchRowError:
        return Checked(found.table, int(open_table(settings, found.table).version()), key, {}, None, (), ())


def still_different(settings: Settings, name: str) -> list[Checked]:
    """Of the table's rows that differed when they were checked last, in 24 h, those that differ now: up to `AGAIN`.

    Raises ServiceDownError.
    """
    again = (check_again(settings, found) for found in differences(settings, datetime.now(UTC), [name])[:AGAIN])
    return [found for found in again if not found.equal]


def turns(before: Iterable[Difference], checked: Iterable[Checked], now: datetime) -> list[TableAlert]:
    """The alerts of a run that found `checked` at the time `now`, when the rows `before` were known to differ: one for
    each table that differs, the same each time until none of its rows does; and one when that has come."""
    now_equal = {(found.table, found.row) for found in checked if found.equal}
    wrong = {(found.table, found.row): found for found in checked if not found.equal}
    since: dict[str, datetime] = {}
    for found in before:
        since[found.table] = min(found.since, since.get(found.table, found.since))
    open_rows = {(found.table, found.row) for found in before} - now_equal | wrong.keys()
    told = []
    for name in sorted(since.keys() | {name for name, _ in open_rows}):
        rows = sorted(row for of, row in open_rows if of == name)
        state: State = OPENED if rows else WITHDRAWN
        example = wrong.get((name, rows[0])) if rows else None
        says = f"{len(rows):,} of its rows, for example {escaped(arguments(shlex.split(rows[0])))}" if rows else ""
        says += f" in {', '.join(example.columns)}" if example else ""
        told.append(TableAlert.turn(PARITY_DIFFERS, name, since.get(name, now), state, says))
    return told


def case_path(settings: Settings, found: Checked) -> Path:
    """Where the records are kept that show a difference."""
    row = f"{found.table} {found.row}"
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in row)
    # A key may be longer than a file's name can be, and two may differ only in what a name can't hold.
    told_apart = hashlib.sha256(row.encode()).hexdigest()[:8]
    return settings.home / "parity" / f"{name[:_NAMED]}-{told_apart}.json"


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
    """Random rows' keys, as many of each table that has any, from as few random files as have so many."""
    found: list[tuple[str, Key]] = []
    for number, name in enumerate(names):
        wanted = rows // len(names) + (number < rows % len(names))
        try:
            opened = open_table(settings, name)
        except TableMissingError:
            continue
        keys, files = read_files(settings, name, []).select(table(name).key), sorted(paths(opened))
        for path in choice.sample(files, len(files)):
            if keys.height >= wanted:
                break
            keys = pl.concat([keys, read_files(settings, name, [path]).select(table(name).key)])
        picked = choice.sample(range(keys.height), min(wanted, keys.height))
        found += [(name, keys.row(n, named=True)) for n in picked]
    return found


def _text(value: bytes | None) -> Any:
    return None if value is None else value.decode("utf-8", "backslashreplace")
