"""What a Delta table holds, from its log alone: no data file is read."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable


@dataclass(frozen=True, slots=True)
class Extent:
    """A version's size. `rows` is None if a file's statistics lack the count."""

    version: int
    files: int
    size_bytes: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; `said` is what its writer noted in it (job, batch, source versions)."""

    version: int
    at: datetime
    operation: str
    said: dict[str, Any]


def extent(opened: DeltaTable) -> Extent:
    """The size of the version that is open."""
    actions = pa.table(opened.get_add_actions())
    counts = actions["num_records"] if actions.num_rows else None
    rows = 0 if counts is None else None if counts.null_count else int(pc.sum(counts).as_py())
    size = int(pc.sum(actions["size_bytes"]).as_py() or 0) if actions.num_rows else 0
    return Extent(int(opened.version()), actions.num_rows, size, rows)


def rows_by_day(opened: DeltaTable) -> dict[date, int]:
    """The rows of each event date of a table that is partitioned by it; files without a count have none."""
    files = pa.table(opened.get_add_actions(flatten=True))
    found: Counter[date] = Counter()
    if files.num_rows:
        days = files["partition.event_date"].cast(pa.date32()).to_pylist()
        for day, rows in zip(days, files["num_records"].to_pylist(), strict=True):
            found[day] += rows or 0
    return found


def commits(newest: DeltaTable, limit: int | None = None, until: int | None = None) -> list[Commit]:
    """Commits, newest first, from version `until` on. `newest` must be open at its newest version.

    delta-rs reads its history from the newest commit on, whatever version is open, and counts down from that one.
    """
    first = int(newest.version()) if until is None else until
    return list(islice((commit for commit in newest_first(newest) if commit.version <= first), limit))


def versions_read(newest: DeltaTable, until: int | None = None) -> dict[str, int]:
    """By source, the version that the table, as of its version `until`, was computed from last: what the newest commit
    says that says anything of it. Empty for a table that nobody refreshes, and for one that was only created. `newest`
    as for `commits`."""
    known = (commit for commit in newest_first(newest) if until is None or commit.version <= until)
    named = (commit.said.get("silver_version") for commit in known)
    return {source: int(version) for source, version in (next(filter(None, named), None) or {}).items()}


def newest_first(newest: DeltaTable) -> Iterator[Commit]:
    """All commits that are kept, lazily: most callers want one of the last. `newest` as for `commits`."""
    seen, read = 0, 16
    while True:
        history = newest.history(read)
        yield from map(commit_of, history[seen:])
        if len(history) < read:
            return
        seen, read = read, read * 4


def standing(newest: DeltaTable, until: int | None = None) -> Iterator[Commit]:
    """Newest first, the commits whose content the table has, as of its version `until`: without those that a restore
    has taken back. `newest` as for `commits`."""
    last = int(newest.version()) if until is None else until
    for commit in newest_first(newest):
        if commit.version <= last:
            last = int(commit.said.get("restored", last))
            yield commit


def published_days(newest: DeltaTable, until: int | None = None) -> dict[date, dict[str, Any]]:
    """What the commits say from which each day of a mart was last published, of those that are kept; `newest` and
    `until` as for `standing`."""
    published: dict[date, dict[str, Any]] = {}
    for commit in standing(newest, until):
        if "day" in commit.said and "read_versions" in commit.said:
            published.setdefault(date.fromisoformat(commit.said["day"]), commit.said)
    return published


def commit_of(entry: dict[str, Any]) -> Commit:
    """From the `commitInfo` of a version, with the version in it."""
    at = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    return Commit(int(entry["version"]), at, entry.get("operation", ""), _said(entry.get("userMetadata")))


def _said(user_metadata: str | None) -> dict[str, Any]:
    try:
        said = json.loads(user_metadata) if user_metadata else {}
    except ValueError:
        return {"note": user_metadata}
    return said if isinstance(said, dict) else {"note": said}
