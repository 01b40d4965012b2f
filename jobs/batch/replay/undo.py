"""The step that takes a replay back."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from jobs.batch.replay.earlier import highest_offsets, name_of, require
from jobs.batch.replay.swap import Versions, apply, provided, publish
from jobs.rust_engines.publish import MARTS
from lakehouse.contracts.graph import STREAM
from lakehouse.contracts.tables import table
from lakehouse.delta import TableError, VersionMissingError, open_table, scan
from lakehouse.delta.describe import published_days
from lakehouse.replay import store
from lakehouse.replay.change_set import ChangeSet, Part
from lakehouse.replay.request import SILVER
from lakehouse.replay.store import Kind, Replay, ReplayError, State
from lakehouse.runtime.code_in_force import running
from lakehouse.settings import Settings


def undo(settings: Settings, number: int) -> None:
    """Brings back the rows that a replay replaced, as they were; what has come since is refreshed into them. A mart's
    day that was published anew since stays. The code that the swap put in force goes with its rows, unless the owner
    was upgraded since.

    Raises:
        ReplayError: it was not swapped in, or the versions before are no longer kept.
        CodeError: the code before can't be put in force, and how to do it by hand.
    """
    replay = store.get(settings, number)
    require(replay, State.DONE, State.UNDOING)
    if later := _written_since(settings, replay):
        raise ReplayError(f"replay {later.id} has since written the same rows: undo that one first")
    if replay.outcome is None:
        raise ReplayError(f"replay {number} was not swapped in")
    before, silver = replay.outcome["versions"], replay.outcome["silver"]
    for name, version in before.items():
        if name not in MARTS and not _of_this_layout(settings, name, version):
            raise ReplayError(
                f"replay {number} was carried out before the change-over to the follower, which kept none of the files "
                f"that it replaced: replay the same range instead"
            )
        try:
            _require_kept(settings, name, version, replay.plan.days)
        except TableError as gone:
            raise ReplayError(
                f"the rows of {name} before replay {number} are no longer kept (7 days are): {gone}"
            ) from gone
    plan, code = replay.plan, None
    if plan.code_before and plan.changes_code and running(settings, STREAM) == plan.code_version:
        code = provided(settings, plan.code_before)
    store.advance(settings, number, (State.DONE, State.UNDOING), State.UNDOING)
    handed = store.handed(settings, number, Kind.SWAP)
    swapped = ChangeSet.from_json(handed.content).parts if handed else ()
    repaired = {part.table: part.days for part in swapped}
    bounds = {
        topic: highest_offsets(settings, name, silver[name], repaired[name][0], repaired[name][-1])
        for topic, name in SILVER.items()
        if name in repaired
    }
    result: dict[str, Any] = {}
    if swapped:
        parts = tuple(_as_it_was(settings, part.table, part.days, before) for part in swapped)
        result = apply(settings, number, Kind.UNDO, parts, silver, bounds, code)
    for touched in replay.plan.touched:
        if touched.table in MARTS:
            part = _as_it_was(settings, touched.table, touched.days, before)
            read = _read_then(settings, part)
            # Only what this replay published goes: another's publication is newer.
            result[part.table] = publish(
                settings, replay, Kind.UNDO, part, read, lambda stands, _: stands.replay != name_of(replay)
            )
    store.advance(settings, number, (State.UNDOING,), State.UNDONE, undone=result)


def _of_this_layout(settings: Settings, name: str, version: int) -> bool:
    try:
        held = open_table(settings, name, version)
    except VersionMissingError:
        return True  # and told as that
    return tuple(held.metadata().partition_columns) == table(name).partition_by


def _require_kept(settings: Settings, name: str, version: int, days: Sequence[date]) -> None:
    """Raises TableError unless a version can still be read: the log may outlive the files that it names."""
    rows = scan(settings, name, version=version)
    if table(name).day:
        rows = rows.filter(pl.col("event_date").is_in(list(days)))
    try:
        rows.select(pl.col(table(name).key[0]).n_unique()).collect()
    except OSError as error:
        newest = int(open_table(settings, name).version())
        raise VersionMissingError(name, version, newest, "files of it were removed") from error


def _as_it_was(settings: Settings, name: str, days: Sequence[date], versions: Mapping[str, int]) -> Part:
    return Part(name, settings.table_path(name, "s3a"), versions[name], tuple(days))


def _read_then(settings: Settings, part: Part) -> dict[date, Versions]:
    """By day, what the rows of a mart were computed from that it had at the part's version."""
    published = published_days(open_table(settings, part.table), part.version)
    notes = ((day, published.get(day)) for day in part.days)
    return {day: (note.read_versions, note.read_tables) if note else ({}, {}) for day, note in notes}


def _written_since(settings: Settings, replay: Replay) -> Replay | None:
    for other in store.newest_first(settings, limit=1000):
        if other.id > replay.id and other.state in (State.DONE, State.SWAPPING) and replay.plan.overlap(other.plan):
            return other
    return None
