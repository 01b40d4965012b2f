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
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl

from jobs.batch.live_first import LiveFirst, step_back
from jobs.batch.rebuild import NEEDS, Rebuild, with_needs
from jobs.process import exit_status
from jobs.rust_engines import recompute as recomputation
from jobs.rust_engines.publish import MARTS, put_day
from jobs.rust_engines.sources import Pinned
from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import SPARK_INGEST, table
from lakehouse.delta import TableError, VersionMissingError, open_table, scan, scan_opened
from lakehouse.delta.describe import commits, versions_read
from lakehouse.delta.write import Once, append_ops
from lakehouse.kafka.consumer import ReadError
from lakehouse.kafka.offsets import parse_offsets
from lakehouse.replay import diff, report, store
from lakehouse.replay.change_set import ChangeSet, Code, Part, contracts_of
from lakehouse.replay.offsets import EARLY, missing_from_bronze
from lakehouse.replay.plan import Plan
from lakehouse.replay.request import SILVER, TOPIC_OF, Engine
from lakehouse.replay.staging import Staging, delete_staged, open_staged, prefix
from lakehouse.replay.steps import STEPS, UNDO
from lakehouse.replay.store import Kind, Replay, ReplayError, State
from lakehouse.replay.words import describe
from lakehouse.runtime.code_in_force import CodeError, code_version, provide, running
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

REST_SECONDS: Final = 180.0
SETTLING_SECONDS: Final = 20.0
"""Longer than ingesters' commits are apart."""
CANCEL_POLL_SECONDS: Final = 1.0
CANCELLED_STATUS: Final = 4

log = logging.getLogger("replay")

Bounds = Mapping[str, Mapping[int, int]]
"""By topic and partition, the highest offset of an event that counts."""
Versions = Mapping[date, Mapping[str, int]]
"""By day and table."""


def recompute(settings: Settings, number: int) -> None:
    """Computes the rows of the replay's days into staging tables, as of one silver version: from bronze, and marts from
    the tables that they are made of.

    Raises:
        ReplayError: it is not approved, was cancelled, or the streams don't come to rest.
        TableError, ServiceDownError: a table or a service is not there.
    """
    replay = store.get(settings, number)
    _require(replay, State.APPROVED, State.RECOMPUTED)
    if replay.state is State.RECOMPUTED:
        return
    began = time.monotonic()
    plan, request = replay.plan, replay.plan.request
    _require_planned_code(plan)
    names = [*request.targets, *(SILVER[topic] for topic in request.topics)]
    names = with_needs(names) if request.engine is Engine.SPARK else recomputation.with_needs(names)
    looked_at = datetime.now(UTC)
    pinned = at_rest(settings, names)
    read = {topic: name for topic, name in SILVER.items() if name in names}
    bounds = {t: _bounds(settings, name, pinned[name], plan.days[0], plan.days[-1]) for t, name in read.items()}
    _await_bronze(settings, bounds)
    _require_all_of_kafka(settings, plan, bounds)
    step_back(settings)
    delete_staged(settings, number)  # what a killed attempt left: a table without its first commit can't be made again
    by_engine = _by_spark if request.engine is Engine.SPARK else _by_polars
    with _ends_when_cancelled(settings, number):
        rows, staged = by_engine(settings, replay, names, Pinned(pinned, looked_at), bounds)
    store.advance(
        settings,
        number,
        (State.APPROVED,),
        State.RECOMPUTED,
        recomputed={
            "pinned": pinned,
            "looked_at": looked_at.isoformat(),
            "bounds": {topic: {str(p): offset for p, offset in found.items()} for topic, found in bounds.items()},
            "staged": staged,
            "rows": rows,
            "seconds": round(time.monotonic() - began, 1),
        },
    )


def _by_spark(
    settings: Settings, replay: Replay, names: Sequence[str], looked_at: Pinned, bounds: Bounds
) -> tuple[dict[str, int], dict[str, Any]]:
    """The rows of each table, and where they are staged."""
    days, pinned = replay.plan.days, looked_at.versions
    limited = settings.model_copy(update={"parallelism": settings.replay_parallelism})
    spark = build_session(limited, settings.prefixed(f"replay-{replay.id}"))
    try:
        live, staging = DeltaTables(spark, settings), DeltaTables(spark, settings, staging=prefix(replay.id))
        before = LiveFirst(settings)
        rebuild = Rebuild(spark, live, staging, days[0], days[-1], pinned, bounds, _label(replay.id), before)
        rows = rebuild.run(names)
        return rows, {name: {"path": staging.path(name), "version": staging.version(name)} for name in names}
    finally:
        spark.stop()


def _by_polars(
    settings: Settings, replay: Replay, names: Sequence[str], looked_at: Pinned, bounds: Bounds
) -> tuple[dict[str, int], dict[str, Any]]:
    """The same without Spark; marts by DataFusion if that was asked for."""
    staging = Staging(settings, replay.id)
    of_silver = {SILVER[topic]: found for topic, found in bounds.items()}
    work = recomputation.Recomputation(
        staging,
        "datafusion" if replay.plan.request.engine is Engine.DATAFUSION else "polars",
        replay.plan.days,
        looked_at,
        of_silver,
        _label(replay.id),
        LiveFirst(settings),
    )
    rows = work.run(names)
    return rows, {name: {"path": staging.path(name, "s3a"), "version": staging.version(name)} for name in names}


def at_rest(settings: Settings, names: Sequence[str], timeout_seconds: float = REST_SECONDS) -> dict[str, int]:
    """Versions of the tables `names` and of silver that belong together: the tables were computed from this silver. A
    mart may be older; what belongs together is what it is computed from anew.

    Raises ReplayError: there is no such moment within the time.
    """
    marts = [name for name in names if name in MARTS]
    sources = {source for name in marts for source in MARTS[name].reads}
    deadline = time.monotonic() + timeout_seconds
    while True:
        opened = {name: open_table(settings, name) for name in {*names, *sources, *READ_BESIDE}}
        read = {name: versions_read(found) for name, found in opened.items() if name not in marts}
        silver = {name: {v[name] for v in read.values() if name in v} for name in SILVER.values()}
        if all(len(versions) <= 1 for versions in silver.values()):
            pinned = {name: int(found.version()) for name, found in opened.items()}
            newest = {name: min(versions, default=None) for name, versions in silver.items()}
            return pinned | {n: int(open_table(settings, n, v).version()) for n, v in newest.items()}
        if time.monotonic() > deadline:
            raise ReplayError(f"the tables were not computed from one silver version within {timeout_seconds:.0f} s")
        time.sleep(0.5)


READ_BESIDE: Final = ("silver.sessions", "silver.products", "gold.user_totals_daily")
"""Of which a recomputation reads what lies beyond its days."""


def compare(settings: Settings, number: int) -> None:
    """Compares the recomputed rows with those that were there at the same silver, and writes the report."""
    replay = store.get(settings, number)
    _require(replay, State.RECOMPUTED, State.COMPARED)
    if replay.state is State.COMPARED:
        return
    found = [_diff(settings, replay, name, days) for name, days in _compared(replay)]
    # The report first: once the state says that rows were compared, nobody compares them again.
    report.write(settings, replay, found)
    kept = {"tables": [d.to_json() for d in found]}
    if error := _wrong_sources(replay, found):
        store.advance(settings, number, (State.RECOMPUTED,), State.FAILED, diff=kept, error=error)
        delete_staged(settings, number)
        raise ReplayError(error)
    store.advance(settings, number, (State.RECOMPUTED,), State.COMPARED, diff=kept)
    for d in found:
        log.info("%s: %d added, %d removed, %d changed of %d", d.table, d.added, d.removed, d.changed, d.rows_before)


def _wrong_sources(replay: Replay, found: Sequence[diff.TableDiff]) -> str | None:
    """Why marts can't be replayed: they were computed from silver as it is stored, and that is to be repaired first."""
    marts = [name for name in replay.plan.request.targets if name in MARTS]
    wrong = [d.table for d in found if table(d.table).insert_only and not d.equal]
    if not (marts and wrong):
        return None
    return (
        f"{', '.join(wrong)} differ from bronze, and {', '.join(marts)} would be computed from them: repair them by a "
        f"replay of the same time with --engine {Engine.SPARK}, then replay the marts"
    )


def _compared(replay: Replay) -> list[tuple[str, tuple[date, ...]]]:
    silver = [(SILVER[topic], replay.plan.days) for topic in replay.plan.request.topics]
    return [*silver, *((touched.table, touched.days) for touched in replay.plan.touched)]


def _diff(settings: Settings, replay: Replay, name: str, days: Sequence[date]) -> diff.TableDiff:
    recomputed = _recomputed(replay)
    staged = recomputed["staged"][name]
    after = scan_opened(settings, name, open_staged(settings, staged["path"], staged["version"]))
    # Of silver its newest version: whoever damaged it since the gold tables read it is to be found out too.
    stored = open_table(settings, name, None if table(name).insert_only else recomputed["pinned"][name])
    before = scan_opened(settings, name, stored)
    if table(name).insert_only:
        before = recomputation.within(before, parse_offsets(recomputed["bounds"])[TOPIC_OF[name]])
    if table(name).partition_by:
        before, after = (frame.filter(pl.col("event_date").is_in(list(days))) for frame in (before, after))
    return diff.compare(name, int(stored.version()), days, before.collect(), after.collect())


def swap(settings: Settings, number: int) -> None:
    """Hands the rows to the owner of the tables, and waits until it has swapped them in; publishes marts. An owner that
    runs other code than the rows were computed with goes on with theirs.

    Raises:
        ReplayError: the owner refused, and why.
        CodeError: the code of the rows can't be found any more.
    """
    replay = store.get(settings, number)
    _require(replay, State.COMPARED, State.SWAPPING, State.DONE)
    recomputed = _recomputed(replay)
    if replay.state is State.COMPARED:
        _require_planned_code(replay.plan)
        replay = store.advance(settings, number, (State.COMPARED,), State.SWAPPING)
    if replay.state is State.DONE:
        return
    differing = {d["table"] for d in (replay.diff or {})["tables"] if d["added"] or d["removed"] or d["changed"]}
    repaired = {name: replay.plan.days for name in SILVER.values() if name in differing}
    days = repaired | {touched.table: touched.days for touched in replay.plan.touched}
    parts = tuple(
        Part(name, recomputed["staged"][name]["path"], recomputed["staged"][name]["version"], tuple(days[name]))
        for name in (*NEEDS, *MARTS)
        if name in days
    )
    pinned = recomputed["pinned"]
    silver = {name: pinned[name] for name in (*SILVER.values(), "silver.products")}
    streamed, marts = _by_owner(parts)
    result = {"versions": {}, "after": {}, "silver": silver}
    if streamed:
        code = _code(settings, replay.plan.code_version) if replay.plan.changes_code else None
        result = _apply(settings, number, Kind.SWAP, streamed, silver, parse_offsets(recomputed["bounds"]), code)
    for part in marts:
        sources = {source: pinned[source] for source in MARTS[part.table].reads}
        read = dict.fromkeys(part.days, sources)
        looked_at = datetime.fromisoformat(recomputed["looked_at"])
        result["versions"][part.table] = pinned[part.table]
        result["after"][part.table] = _publish(settings, replay, part, looked_at, _label(number), read)
    store.advance(settings, number, (State.SWAPPING,), State.DONE, outcome=result)


def _by_owner(parts: Sequence[Part]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Those of the stream's owner, and marts."""
    return tuple(p for p in parts if p.table not in MARTS), tuple(p for p in parts if p.table in MARTS)


def _publish(settings: Settings, replay: Replay, part: Part, looked_at: datetime, label: str, read: Versions) -> int:
    """Puts the rows of a mart in place, a commit per day as its publisher makes them; returns the version after them.
    `read`: by day, the versions that its rows were computed from.

    Killed in between, it does the rest when it is repeated. A day that was published from a later look than `looked_at`
    stays: it has what the replay has, and what came since.
    """
    rows = scan_opened(settings, part.table, open_staged(settings, part.path, part.version))
    for day in part.days:
        said = {"scope": label, "engine": replay.plan.request.engine, "read_versions": read[day]}
        of_day = rows.filter(pl.col("event_date") == day).collect()
        version = put_day(settings, part.table, day, of_day, looked_at, said)
        log.info("%s of %s: version %d", part.table, day, version)
    return int(open_table(settings, part.table).version())


def undo(settings: Settings, number: int) -> None:
    """Brings back the rows that a replay replaced, as they were; what has come since is refreshed into them. A mart's
    day that was published anew since stays. The code that the swap put in force goes with its rows, unless the owner
    was upgraded since.

    Raises:
        ReplayError: it was not swapped in, or the versions before are no longer kept.
        CodeError: the code before can't be put in force, and how to do it by hand.
    """
    replay = store.get(settings, number)
    _require(replay, State.DONE, State.UNDOING)
    if later := _written_since(settings, replay):
        raise ReplayError(f"replay {later.id} has since written the same rows: undo that one first")
    if replay.outcome is None:
        raise ReplayError(f"replay {number} was not swapped in")
    before, silver = replay.outcome["versions"], replay.outcome["silver"]
    days = replay.plan.days
    for name, version in before.items():
        try:
            _require_kept(settings, name, version, days)
        except TableError as gone:
            raise ReplayError(
                f"the rows of {name} before replay {number} are no longer kept (7 days are): {gone}"
            ) from gone
    plan, code = replay.plan, None
    if plan.code_before and plan.changes_code and running(settings, SPARK_INGEST) == plan.code_version:
        code = _code(settings, plan.code_before)
    store.advance(settings, number, (State.DONE, State.UNDOING), State.UNDOING)
    handed = store.handed(settings, number, Kind.SWAP)
    swapped = ChangeSet.from_json(handed.content).parts if handed else ()
    repaired = {part.table: part.days for part in swapped}
    bounds = {
        topic: _bounds(settings, name, silver[name], repaired[name][0], repaired[name][-1])
        for topic, name in SILVER.items()
        if name in repaired
    }
    result: dict[str, Any] = {}
    if swapped:
        parts = tuple(_as_it_was(settings, part.table, part.days, before) for part in swapped)
        result = _apply(settings, number, Kind.UNDO, parts, silver, bounds, code)
    for touched in replay.plan.touched:
        if touched.table in MARTS:
            part = _as_it_was(settings, touched.table, touched.days, before)
            # A look later than the replay's, by as little as can be: whoever has published since looked later still.
            looked_at = datetime.fromisoformat(_recomputed(replay)["looked_at"]) + timedelta(milliseconds=1)
            read = {day: _read_then(settings, part, day) for day in part.days}
            result[part.table] = _publish(settings, replay, part, looked_at, f"undo of {_label(number)}", read)
    store.advance(settings, number, (State.UNDOING,), State.UNDONE, undone=result)


def _require_kept(settings: Settings, name: str, version: int, days: Sequence[date]) -> None:
    """Raises TableError unless a version can still be read: the log may outlive the files that it names."""
    rows = scan(settings, name, version=version)
    if table(name).partition_by:
        rows = rows.filter(pl.col("event_date").is_in(list(days)))
    try:
        rows.select(pl.col(table(name).key[0]).n_unique()).collect()
    except OSError as error:
        newest = int(open_table(settings, name).version())
        raise VersionMissingError(name, version, newest, "files of it were removed") from error


def _as_it_was(settings: Settings, name: str, days: Sequence[date], versions: Mapping[str, int]) -> Part:
    return Part(name, settings.table_path(name, "s3a"), versions[name], tuple(days))


def _read_then(settings: Settings, part: Part, day: date) -> dict[str, int]:
    """The versions from which the rows of a mart's day were computed that it had at the part's version."""
    for commit in commits(open_table(settings, part.table), until=part.version):
        if commit.said.get("day") == day.isoformat():
            read: dict[str, int] = commit.said["read_versions"]
            return read
    return {}


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
                "code_before": replay.plan.code_before,
                "plan": describe(replay),
                "clock": str(request.clock),
                "engine": str(request.engine),
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
        why = f": {replay.error}" if replay.error else ""
        raise ReplayError(f"replay {replay.id} is {replay.state}, not {' or '.join(states)}{why}")


def _require_planned_code(plan: Plan) -> None:
    if (installed := code_version()) != plan.code_version:
        raise ReplayError(
            f"it was planned with code {plan.code_version}, and {installed} is installed: cancel it, and plan it again"
        )


def _written_since(settings: Settings, replay: Replay) -> Replay | None:
    for other in store.newest_first(settings, limit=1000):
        if other.id > replay.id and other.state in (State.DONE, State.SWAPPING) and replay.plan.overlap(other.plan):
            return other
    return None


def _await_bronze(settings: Settings, bounds: Bounds) -> None:
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


def _require_all_of_kafka(settings: Settings, plan: Plan, bounds: Bounds) -> None:
    """Raises ReplayError unless bronze holds what Kafka still has of the plan's offsets: rows are computed from bronze,
    and would lack what it lacks."""
    since = plan.request.start - EARLY - timedelta(days=1)
    deadline = time.monotonic() + SETTLING_SECONDS
    for topic, offsets in plan.offsets.items():
        # An ingester commits events and dead letters one after the other.
        while missing := missing_from_bronze(settings, topic, offsets, bounds[topic], since):
            if time.monotonic() < deadline:
                time.sleep(1)
                continue
            named = "; ".join(
                f"{topic}[{p}] {', '.join(map(str, lost[:3]))}{' and more' if lost[3:] else ''}"
                for p, lost in missing.items()
            )
            raise ReplayError(
                f"bronze lacks {sum(map(len, missing.values())):,} records that Kafka holds ({named}), and rows would "
                "be computed without them: `lakehouse audit` names all, `lakehouse table restore` brings a version back"
            )
    log.info("bronze holds all that Kafka still has of the range")


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
    code: Code | None,
) -> dict[str, Any]:
    """Hands a change set to the owner of its tables; returns what it says once it has applied it."""
    label = _label(number) if kind is Kind.SWAP else f"undo of {_label(number)}"
    change = ChangeSet(label, parts, silver, bounds, contracts_of(part.table for part in parts), code)
    store.hand_over(settings, number, kind, change.to_json())
    return _await(settings, number, kind)


def _code(settings: Settings, version: str) -> Code:
    return Code(version, str(provide(settings, version)))


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

    def work(settings: Settings) -> None:
        CARRY_OUT[arguments.step](settings, arguments.replay)

    return exit_status(log, work, ReplayError, ReadError, CodeError)


if __name__ == "__main__":
    sys.exit(main())
