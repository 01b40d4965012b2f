"""The step that puts rows in place: by the owner of the tables, and marts by their publisher."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from jobs.batch.replay.earlier import (
    label_of,
    name_of,
    require,
    require_planned_code,
    require_planned_owner,
    what_was_recomputed,
)
from jobs.follower.change_sets import apply_next
from jobs.rust_engines.enrichment import VERSIONS
from jobs.rust_engines.publications import Place, Stays, SupersededError, newer
from jobs.rust_engines.publish import MARTS
from jobs.rust_engines.sources import Pinned, Sources
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.graph import DERIVED
from lakehouse.delta import open_table, scan_opened
from lakehouse.delta.notes import Publication
from lakehouse.kafka.offsets import parse_offsets
from lakehouse.replay import store
from lakehouse.replay.change_set import ChangeSet, Code, Part, contracts_of
from lakehouse.replay.request import SILVER
from lakehouse.replay.staging import open_staged
from lakehouse.replay.store import Kind, Replay, ReplayError, State
from lakehouse.runtime.code_in_force import provide
from lakehouse.settings import Settings

log = logging.getLogger("replay")

Versions = tuple[dict[str, int], Mapping[str, str]]
"""By table that was read, its version and its id."""


def swap(settings: Settings, number: int) -> None:
    """Hands the rows to the owner of the tables, and waits until it has swapped them in; publishes marts. An owner that
    runs other code than the rows were computed with goes on with theirs.

    Raises:
        ReplayError: the owner refused, and why; or it runs code that the plan knows nothing of.
        CodeError: the code of the rows can't be found any more.
    """
    replay = store.get(settings, number)
    require(replay, State.COMPARED, State.SWAPPING, State.DONE)
    recomputed = what_was_recomputed(replay)
    if replay.state is State.DONE:
        return
    differing = {d["table"] for d in (replay.diff or {})["tables"] if d["added"] or d["removed"] or d["changed"]}
    repaired = {name: replay.plan.days for name in SILVER.values() if name in differing}
    days = repaired | {touched.table: touched.days for touched in replay.plan.touched}
    parts = tuple(
        Part(name, recomputed["staged"][name]["path"], recomputed["staged"][name]["version"], tuple(days[name]))
        for name in (*DERIVED, *MARTS)
        if name in days
    )
    pinned = recomputed["pinned"]
    # Of a follower's tables each says up to which versions of its own sources it goes.
    named = (name for name in DERIVED if name in pinned) if CORE is Core.FOLLOWER else (*SILVER.values(), VERSIONS)
    silver = {name: pinned[name] for name in named}
    streamed, marts = _by_owner(parts)
    if replay.state is State.COMPARED:
        require_planned_code(replay.plan)
        if streamed:
            require_planned_owner(settings, replay.plan)
        replay = store.advance(settings, number, (State.COMPARED,), State.SWAPPING)
    result = {"versions": {}, "after": {}, "silver": silver}
    if streamed:
        code = provided(settings, replay.plan.code_version) if replay.plan.changes_code else None
        result = apply(settings, number, Kind.SWAP, streamed, silver, parse_offsets(recomputed["bounds"]), code)
    for part in marts:
        sources = Sources.pin(settings, MARTS[part.table].reads, Pinned(pinned))
        read = dict.fromkeys(part.days, (sources.versions, sources.ids))
        result["versions"][part.table] = pinned[part.table]
        result["after"][part.table] = publish(settings, replay, Kind.SWAP, part, read, newer_or_done)
    store.advance(settings, number, (State.SWAPPING,), State.DONE, outcome=result)


def _by_owner(parts: Sequence[Part]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Those of the stream's owner, and marts."""
    return tuple(p for p in parts if p.table not in MARTS), tuple(p for p in parts if p.table in MARTS)


def newer_or_done(stands: Publication, ours: Publication) -> bool:
    """Killed in between, a swap finds the days that it has published."""
    return stands.replay == ours.replay or newer(stands, ours)


def publish(
    settings: Settings, replay: Replay, kind: Kind, part: Part, read: Mapping[date, Versions], stays: Stays
) -> int:
    """Puts the rows of a mart in place, a commit per day as its publisher makes them; returns the version after them.
    `read`: by day, what its rows were computed from. A day stays as it is where, by `stays`, what was published of it
    does."""
    rows = scan_opened(settings, part.table, open_staged(settings, part.path, part.version))
    for day in part.days:
        versions, ids = read[day]
        note = Publication(
            day=day,
            engine=replay.plan.request.engine,
            read_versions=versions,
            read_tables=ids,
            scope=_of(kind, label_of(replay.id)),
            replay=_of(kind, name_of(replay)),
        )
        of_day = rows.filter(pl.col("event_date") == day).collect()
        try:
            version = Place(settings, part.table, day).put(of_day, note, stays)
        except SupersededError as stands:
            log.info("%s", stands)
        else:
            log.info("%s of %s: version %d", part.table, day, version)
    return int(open_table(settings, part.table).version())


def apply(
    settings: Settings,
    number: int,
    kind: Kind,
    parts: tuple[Part, ...],
    silver: dict[str, int],
    bounds: dict[str, dict[int, int]],
    code: Code | None,
) -> dict[str, Any]:
    """Hands a change set to the owner of its tables; returns what it says once it has applied it."""
    label, contracts = _of(kind, label_of(number)), contracts_of(part.table for part in parts)
    change = ChangeSet(label, parts, silver, bounds, contracts, code)
    store.hand_over(settings, number, kind, change.to_json())
    return _await(settings, number, kind)


def _of(kind: Kind, replay: str) -> str:
    return replay if kind is Kind.SWAP else f"undo of {replay}"


def provided(settings: Settings, version: str) -> Code:
    """A version of the code, where its owner finds it. Raises CodeError."""
    return Code(version, str(provide(settings, version)))


def _await(settings: Settings, number: int, kind: Kind) -> dict[str, Any]:
    """What the owner says of the change set, once it has done it; with its owner stopped, it waits, as long as this
    process does. Beside the follower, which suffers others' commits, this process puts it in place."""
    told = 0.0
    while True:
        handed = store.awaited(settings, number, kind)
        if handed is None or handed.state == "withdrawn":
            raise ReplayError(f"replay {number} was cancelled")
        if handed.state == "refused":
            error = f"the owner of its tables refused replay {number}: {handed.error}"
            store.advance(settings, number, (State.SWAPPING, State.UNDOING), State.FAILED, error=error)
            raise ReplayError(error)
        if handed.state == "applied":
            return handed.result or {}
        if CORE is Core.FOLLOWER and apply_next(settings):
            continue
        if time.monotonic() - told > 30:
            told = time.monotonic()
            log.info("waiting for the owner of the tables (`lakehouse job status` shows whether it runs)")
        time.sleep(1)
