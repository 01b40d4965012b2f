"""Which days the rows of a table lie on: by its partitions, or by what the statistics of its files say."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from deltalake import DeltaTable

from lakehouse.contracts.tables import table
from lakehouse.delta.errors import VersionMissingError
from lakehouse.delta.files import read_each
from lakehouse.delta.layout import Files, Span
from lakehouse.delta.log import file_changes
from lakehouse.delta.tables import open_table
from lakehouse.settings import Settings


def rows_by_day(settings: Settings, name: str, opened: DeltaTable) -> dict[date, int]:
    """The rows of each day of a table that has days. Of the data only files with several days are read, of these one
    column. Files without a count have none."""
    files, column = Files(opened), table(name).day or ""
    found, mixed = Counter[date](), list[str]()
    for path, span in files.days(column).items():
        if span is not None and span[0] == span[1]:
            found[span[0]] += files.rows[path] or 0
        else:
            mixed.append(path)
    for rows in read_each(settings, name, mixed, [column]).values():
        found.update(dict(rows[column].value_counts().iter_rows()))
    return found


def days_changed(settings: Settings, name: str, versions: Iterable[int]) -> dict[int, set[date | None]]:
    """By version, the days on which the commit added or removed rows, or others that share a file with these: not those
    whose files it only put together.

    None among them: rows without a day, or of which nobody can tell. The versions' log must be kept.
    """
    changes = dict(sorted(file_changes(settings, name, versions).items()))
    known = _known_before(settings, name, next(iter(changes), 0))
    found: dict[int, set[date | None]] = {}
    for version, files in changes.items():
        known |= {file["path"]: span for file in files if (span := _said(name, file))}
        found[version] = set().union(*(_between(known.get(file["path"])) for file in files))
    return found


def _known_before(settings: Settings, name: str, version: int) -> dict[str, Span | None]:
    contract = table(name)
    if contract.partition_by or contract.day is None or not version:
        return {}
    try:
        return Files(open_table(settings, name, version - 1)).days(contract.day)
    except VersionMissingError:
        return {}


def _said(name: str, file: Mapping[str, Any]) -> Span | None:
    """What an entry of the log says of the days of its file."""
    column = table(name).day
    if day := (file.get("partitionValues") or {}).get(column):
        return date.fromisoformat(day), date.fromisoformat(day)
    said = json.loads(file.get("stats") or "{}")
    low, high = (said.get(bound, {}).get(column) for bound in ("minValues", "maxValues"))
    return (date.fromisoformat(low), date.fromisoformat(high)) if low and high else None


def _between(span: Span | None) -> set[date | None]:
    if span is None:
        return {None}
    return {span[0] + timedelta(days=n) for n in range((span[1] - span[0]).days + 1)}
