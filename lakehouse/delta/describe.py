"""What a Delta table holds, from its log alone: no data file is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from lakehouse.delta.notes import Note, Publication, Read, Restored, read_note


@dataclass(frozen=True, slots=True)
class Extent:
    """A version's size. `rows` is None if a file's statistics lack the count."""

    version: int
    files: int
    size_bytes: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; `note` is what its writer said in it, if anything."""

    version: int
    at: datetime
    operation: str
    note: Note | None


def extent(opened: DeltaTable) -> Extent:
    """The size of the version that is open."""
    actions = pa.table(opened.get_add_actions())
    counts = actions["num_records"] if actions.num_rows else None
    rows = 0 if counts is None else None if counts.null_count else int(pc.sum(counts).as_py())
    size = int(pc.sum(actions["size_bytes"]).as_py() or 0) if actions.num_rows else 0
    return Extent(int(opened.version()), actions.num_rows, size, rows)


def commits(newest: DeltaTable, limit: int | None = None, until: int | None = None) -> list[Commit]:
    """Commits, newest first, from version `until` on. `newest` must be open at its newest version.

    delta-rs reads its history from the newest commit on, whatever version is open, and counts down from that one.
    """
    first = int(newest.version()) if until is None else until
    return list(islice((commit for commit in newest_first(newest) if commit.version <= first), limit))


def versions_read(newest: DeltaTable, until: int | None = None) -> dict[str, int]:
    """By source, the version that the table, as of its version `until`, was computed from last: what the newest commit
    says that says anything of it. Empty for a table that nobody refreshes, for one that was only created, and for a
    mart, whose commits speak of their day. `newest` as for `commits`."""
    notes = (commit.note for commit in newest_first(newest) if until is None or commit.version <= until)
    named = (note.read_versions for note in notes if isinstance(note, Read) and not isinstance(note, Publication))
    return next((versions for versions in named if versions), {})


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
            last = commit.note.restored if isinstance(commit.note, Restored) else last
            yield commit


def published_days(newest: DeltaTable, until: int | None = None) -> dict[date, Publication]:
    """What the commits say from which each day of a mart was last published, of those that are kept; `newest` and
    `until` as for `standing`."""
    published: dict[date, Publication] = {}
    for commit in standing(newest, until):
        if isinstance(commit.note, Publication):
            published.setdefault(commit.note.day, commit.note)
    return published


def commit_of(entry: dict[str, Any]) -> Commit:
    """From the `commitInfo` of a version, with the version in it."""
    at = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    return Commit(int(entry["version"]), at, entry.get("operation", ""), read_note(entry.get("userMetadata")))
