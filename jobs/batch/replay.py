"""Carries out a replay, step by step: ``python -m jobs.batch.replay STEP NUMBER``.

Each step begins where an earlier attempt of it ended, so that a replay that was killed at any point goes on, and ends
the same.
"""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

import polars as pl
from deltalake import DeltaTable

from jobs.batch.rebuild import NEEDS, Rebuild, with_needs
from jobs.spark_session import MissingJarsError, build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import table
from lakehouse.delta import TableError, open_table, scan, scan_opened
from lakehouse.delta.describe import versions_read
from lakehouse.delta.write import Once, append_ops
from lakehouse.replay import diff, report, store
from lakehouse.replay.change_set import ChangeSet, Part
from lakehouse.replay.plan import contracts_of
from lakehouse.replay.request import SILVER, TOPIC_OF
from lakehouse.replay.staging import delete_staged, prefix
from lakehouse.replay.steps import STEPS, UNDO
from lakehouse.replay.store import Kind, Replay, ReplayError, State
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings, load_settings

REST_SECONDS: Final = 180.0
NICENESS: Final = 10
"""Live streams go first."""
CANCEL_POLL_SECONDS: Final = 1.0
CANCELLED_STATUS: Final = 4

log = logging.getLogger("replay")


def recompute(settings: Settings, number: int) -> None:
    """Computes the rows of the replay's days from bronze into staging tables, as of one silver version.

    Raises:
        ReplayError: it is not approved, was cancelled, or the streams don't come to rest.
        TableError, ServiceDownError: a table or a service is not there.
    """
    replay = store.get(settings, number)
    _require(replay, State.APPROVED, State.RECOMPUTED)
    if replay.state is State.RECOMPUTED:
        return
    began = time.monotonic()
    plan = replay.plan
    targets = plan.request.targets
    pinned = at_rest(settings, targets)
    first, last = plan.days[0], plan.days[-1]
    names = with_needs([*targets, *(SILVER[topic] for topic in plan.request.topics)])
    read = {topic: name for topic, name in SILVER.items() if name in names}
    bounds = {topic: _bounds(settings, name, pinned[name], first, last) for topic, name in read.items()}
    _await_bronze(settings, bounds)
    os.nice(NICENESS)
    delete_staged(settings, number)  # what a killed attempt left: a table without its first commit can't be made again
    with _ends_when_cancelled(settings, number):
        spark = build_session(settings.model_copy(update={"parallelism": 1}), settings.prefixed(f"replay-{number}"))
        try:
            live, staging = DeltaTables(spark, settings), DeltaTables(spark, settings, staging=prefix(number))
            rebuild = Rebuild(spark, live, staging, first, last, pinned, bounds, _label(number))
            rows = rebuild.run(names)
            staged = {name: {"path": staging.path(name), "version": staging.version(name)} for name in names}
        finally:
            spark.stop()
    store.advance(
        settings,
        number,
        (State.APPROVED,),
        State.RECOMPUTED,
        recomputed={
            "pinned": pinned,
            "bounds": {topic: {str(p): offset for p, offset in found.items()} for topic, found in bounds.items()},
            "staged": staged,
            "rows": rows,
            "seconds": round(time.monotonic() - began, 1),
        },
    )


def at_rest(settings: Settings, targets: Sequence[str], timeout_seconds: float = REST_SECONDS) -> dict[str, int]:
    """Versions of `targets` and of silver that belong together: the targets were computed from this silver.

    Raises ReplayError: there is no such moment within the time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        opened = {name: open_table(settings, name) for name in (*targets, *REBUILT_BESIDE)}
        read = {name: versions_read(found) for name, found in opened.items()}
        silver = {name: {v[name] for v in read.values() if name in v} for name in SILVER.values()}
        if all(len(versions) <= 1 for versions in silver.values()):
            pinned = {name: int(found.version()) for name, found in opened.items()}
            newest = {name: min(versions, default=None) for name, versions in silver.items()}
            return pinned | {n: int(open_table(settings, n, v).version()) for n, v in newest.items()}
        if time.monotonic() > deadline:
            raise ReplayError(f"the tables were not computed from one silver version within {timeout_seconds:.0f} s")
        time.sleep(0.5)


REBUILT_BESIDE: Final = ("silver.sessions", "silver.products", "gold.user_totals_daily")
"""Of which a rebuild reads what lies beyond its days."""


def compare(settings: Settings, number: int) -> None:
    """Compares the recomputed rows with those that were there at the same silver, and writes the report."""
    replay = store.get(settings, number)
    _require(replay, State.RECOMPUTED, State.COMPARED)
    if replay.state is State.COMPARED:
        return
    found = [_diff(settings, replay, name, days) for name, days in _compared(replay)]
    # The report first: once the state says that rows were compared, nobody compares them again.
    report.write(settings, replay, found)
    store.advance(settings, number, (State.RECOMPUTED,), State.COMPARED, diff={"tables": [d.to_json() for d in found]})
    for d in found:
        log.info("%s: %d added, %d removed, %d changed of %d", d.table, d.added, d.removed, d.changed, d.rows_before)


def _compared(replay: Replay) -> list[tuple[str, tuple[date, ...]]]:
    silver = [(SILVER[topic], replay.plan.days) for topic in replay.plan.request.topics]
    return [*silver, *((touched.table, touched.days) for touched in replay.plan.touched)]


def _diff(settings: Settings, replay: Replay, name: str, days: Sequence[date]) -> diff.TableDiff:
    recomputed = _recomputed(replay)
    staged = recomputed["staged"][name]
    opened = DeltaTable(
        staged["path"].replace("s3a://", "s3://", 1), staged["version"], settings.delta_storage_options()
    )
    after = scan_opened(settings, name, opened)
    # Of silver its newest version: whoever damaged it since the gold tables read it is to be found out too.
    stored = open_table(settings, name, None if table(name).insert_only else recomputed["pinned"][name])
    before = scan_opened(settings, name, stored)
    if table(name).insert_only:
        before = _within(before, recomputed["bounds"][TOPIC_OF[name]])
    if table(name).partition_by:
        before, after = (frame.filter(pl.col("event_date").is_in(list(days))) for frame in (before, after))
    return diff.compare(name, int(stored.version()), days, before.collect(), after.collect())


def _within(rows: pl.LazyFrame, bounds: Mapping[str, int]) -> pl.LazyFrame:
    """The rows up to these offsets, by partition."""
    limits = pl.LazyFrame(
        {"partition": [int(p) for p in bounds], "_limit": list(bounds.values())},
        schema={"partition": pl.Int32, "_limit": pl.Int64},
    )
    return rows.join(limits, "partition").filter(pl.col("offset") <= pl.col("_limit")).drop("_limit")


def swap(settings: Settings, number: int) -> None:
    """Hands the rows to the owner of the tables, and waits until it has swapped them in.

    Raises ReplayError: the owner refused, and why.
    """
    replay = store.get(settings, number)
    _require(replay, State.COMPARED, State.SWAPPING, State.DONE)
    recomputed = _recomputed(replay)
    if replay.state is State.COMPARED:
        replay = store.advance(settings, number, (State.COMPARED,), State.SWAPPING)
    if replay.state is State.DONE:
        return
    differing = {d["table"] for d in (replay.diff or {})["tables"] if d["added"] or d["removed"] or d["changed"]}
    repaired = {name: replay.plan.days for name in SILVER.values() if name in differing}
    days = repaired | {touched.table: touched.days for touched in replay.plan.touched}
    parts = tuple(
        Part(name, recomputed["staged"][name]["path"], recomputed["staged"][name]["version"], tuple(days[name]))
        for name in NEEDS
        if name in days
    )
    silver = {name: recomputed["pinned"][name] for name in (*SILVER.values(), "silver.products")}
    bounds = {topic: {int(p): offset for p, offset in found.items()} for topic, found in recomputed["bounds"].items()}
    result = _apply(settings, number, Kind.SWAP, parts, silver, bounds)
    store.advance(settings, number, (State.SWAPPING,), State.DONE, outcome=result)


def undo(settings: Settings, number: int) -> None:
    """Brings back the rows that a replay replaced, as they were; what has come since is refreshed into them.

    Raises:
        ReplayError: it was not swapped in, or the versions before are no longer kept.
    """
    replay = store.get(settings, number)
    _require(replay, State.DONE, State.UNDOING)
    if later := _written_since(settings, replay):
        raise ReplayError(f"replay {later.id} has since written the same rows: undo that one first")
    handed = store.handed(settings, number, Kind.SWAP)
    if handed is None or handed.result is None:
        raise ReplayError(f"replay {number} was not swapped in")
    swapped, before = ChangeSet.from_json(handed.content), handed.result["versions"]
    for name, version in before.items():
        try:
            open_table(settings, name, version)
        except TableError as gone:
            raise ReplayError(
                f"the rows of {name} before replay {number} are no longer kept (7 days are): {gone}"
            ) from gone
    store.advance(settings, number, (State.DONE, State.UNDOING), State.UNDOING)
    silver = handed.result["silver"]
    days = {part.table: part.days for part in swapped.parts}
    bounds = {
        topic: _bounds(settings, name, silver[name], days[name][0], days[name][-1])
        for topic, name in SILVER.items()
        if name in days
    }
    parts = tuple(
        replace(part, path=settings.table_path(part.table, "s3a"), version=before[part.table]) for part in swapped.parts
    )
    result = _apply(settings, number, Kind.UNDO, parts, silver, bounds)
    store.advance(settings, number, (State.UNDOING,), State.UNDONE, undone=result)


def record(settings: Settings, number: int) -> None:
    """Writes to ``ops.replays`` who replayed what, the versions before and after, and how long it took; once."""
    replay = store.get(settings, number)
    if replay.outcome is None or replay.recomputed is None:
        raise ReplayError(f"replay {number} is {replay.state}: there is nothing to record")
    request = replay.plan.request
    append_ops(
        settings,
        "ops.replays",
        [
            {
                "replay": number,
                "recorded_at": datetime.now(UTC),
                "requested_by": replay.requested_by,
                "approved_by": replay.approved_by,
                "code_version": replay.plan.code_version,
                "clock": str(request.clock),
                "range_start": request.start,
                "range_end": request.end,
                "table": name,
                "version_before": replay.outcome["versions"][name],
                "version_after": after,
                "events": replay.plan.reads,
                "seconds": float(replay.recomputed["seconds"]),
            }
            for name, after in replay.outcome["after"].items()
        ],
        Once(settings.prefixed(f"replay-{number}"), 1),
    )
    delete_staged(settings, number)


CARRY_OUT: Final[dict[str, Callable[[Settings, int], None]]] = {
    "recompute": recompute,
    "diff": compare,
    "swap": swap,
    "record": record,
    "undo": undo,
}
"""By the name of each of `lakehouse.replay.steps`."""


def _label(number: int) -> str:
    return f"replay {number}"


def _recomputed(replay: Replay) -> dict[str, Any]:
    if replay.recomputed is None:
        raise ReplayError(f"replay {replay.id} has not recomputed anything yet")
    return replay.recomputed


def _require(replay: Replay, *states: State) -> None:
    if replay.state not in states:
        raise ReplayError(f"replay {replay.id} is {replay.state}, not {' or '.join(states)}")


def _written_since(settings: Settings, replay: Replay) -> Replay | None:
    for other in store.newest_first(settings, limit=1000):
        if other.id > replay.id and other.state in (State.DONE, State.SWAPPING) and replay.plan.overlap(other.plan):
            return other
    return None


def _await_bronze(settings: Settings, bounds: Mapping[str, Mapping[int, int]]) -> None:
    """Waits until bronze holds what silver was made of: transactions come into the two by different jobs.

    Raises ReplayError: it doesn't within `REST_SECONDS`. What bronze lacks would be taken for invented.
    """
    deadline = time.monotonic() + REST_SECONDS
    for topic, wanted in bounds.items():
        name = f"bronze.{EVENTS[topic].table}"
        while True:
            rows = scan(settings, name).group_by("partition").agg(pl.max("offset")).collect()
            held = dict(rows.iter_rows())
            behind = {p: offset for p, offset in wanted.items() if held.get(p, -1) < offset}
            if not behind:
                break
            if time.monotonic() > deadline:
                raise ReplayError(
                    f"{name} lacks events that silver holds, up to offsets {behind}: does its ingester run?"
                )
            time.sleep(1)


def _bounds(settings: Settings, name: str, version: int, first: date, last: date) -> dict[int, int]:
    highest = (
        scan(settings, name, version=version, dates=(first, last)).group_by("partition").agg(pl.max("offset")).collect()
    )
    return dict(highest.iter_rows())


def _apply(
    settings: Settings,
    number: int,
    kind: Kind,
    parts: tuple[Part, ...],
    silver: dict[str, int],
    bounds: dict[str, dict[int, int]],
) -> dict[str, Any]:
    """Hands a change set to the owner of its tables; returns what it says once it has applied it."""
    label = _label(number) if kind is Kind.SWAP else f"undo of {_label(number)}"
    change = ChangeSet(label, parts, silver, bounds, contracts_of(part.table for part in parts))
    store.hand_over(settings, number, kind, change.to_json())
    return _await(settings, number, kind)


def _await(settings: Settings, number: int, kind: Kind) -> dict[str, Any]:
    """What the owner says of the change set, once it has done it; with its owner stopped, a change set waits."""
    told = 0.0
    while True:
        handed = store.handed(settings, number, kind)
        if handed is None or handed.state == "withdrawn":
            raise ReplayError(f"replay {number} was cancelled")
        if handed.state == "refused":
            error = f"the owner of its tables refused replay {number}: {handed.error}"
            store.advance(settings, number, (State.SWAPPING, State.UNDOING), State.FAILED, error=error)
            raise ReplayError(error)
        if handed.state == "applied":
            return handed.result or {}
        if time.monotonic() - told > 30:
            told = time.monotonic()
            log.info("waiting for the owner of the tables (`lakehouse job status` shows whether it runs)")
        time.sleep(1)


@contextmanager
def _ends_when_cancelled(settings: Settings, number: int) -> Iterator[None]:
    """Ends this process, and Spark's with it, when somebody cancels the replay within the block."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(CANCEL_POLL_SECONDS):
            try:
                cancelled = store.get(settings, number).state is State.CANCELLED
            except ServiceDownError:
                continue
            if cancelled:
                log.error("replay %d was cancelled", number)
                logging.shutdown()
                # Not sys.exit, which ends a thread: the work is the main thread's, inside Spark.
                os._exit(CANCELLED_STATUS)

    threading.Thread(target=watch, name="cancellation", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.batch.replay",
        description="Carry out one step of a replay that was planned and approved.",
        epilog="Example: python -m jobs.batch.replay recompute 7",
    )
    parser.add_argument("step", choices=CARRY_OUT, help="; ".join(f"{s.name}: {s.does}" for s in (*STEPS, UNDO)))
    parser.add_argument("replay", type=int, help="its number, from `lakehouse replay plan`")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    try:
        CARRY_OUT[arguments.step](load_settings(), arguments.replay)
    except (ReplayError, TableError, ServiceDownError, MissingJarsError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
