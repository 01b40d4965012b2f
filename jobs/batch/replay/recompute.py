"""The step that computes the rows beside the live tables, as of versions that belong together."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import polars as pl

from jobs.batch.live_first import LiveFirst, step_back
from jobs.batch.rebuild import Rebuild, with_needs
from jobs.batch.replay.earlier import Bounds, highest_offsets, label_of, require, require_planned_code
from jobs.rust_engines import recompute as recomputation
from jobs.rust_engines.publish import MARTS
from jobs.rust_engines.sources import Pinned
from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import EVENTS
from lakehouse.cuts import NoCutError, versions_of, wait_for_cut
from lakehouse.delta import open_table, scan
from lakehouse.delta.describe import versions_read
from lakehouse.replay import store
from lakehouse.replay.offsets import EARLY, missing_from_bronze
from lakehouse.replay.plan import Plan
from lakehouse.replay.request import SILVER, Engine
from lakehouse.replay.staging import Staging, delete_staged, prefix
from lakehouse.replay.store import Replay, ReplayError, State
from lakehouse.settings import Settings

log = logging.getLogger("replay")

REST_SECONDS: Final = 180.0
SETTLING_SECONDS: Final = 20.0
"""Longer than ingesters' commits are apart."""
CANCEL_POLL_SECONDS: Final = 1.0
CANCELLED_STATUS: Final = 4
READ_BESIDE: Final = ("silver.sessions", "silver.products", "gold.user_totals_daily")
"""Of which a recomputation reads what lies beyond its days."""


def recompute(settings: Settings, number: int) -> None:
    """Computes the rows of the replay's days into staging tables, as of one silver version: from bronze, and marts from
    the tables that they are made of.

    Raises:
        ReplayError: it is not approved, was cancelled, or the streams don't come to rest.
        TableError, ServiceDownError: a table or a service is not there.
    """
    replay = store.get(settings, number)
    require(replay, State.APPROVED, State.RECOMPUTED, State.COMPARED, State.SWAPPING, State.DONE)
    if replay.state is not State.APPROVED:
        return
    began = time.monotonic()
    plan, request = replay.plan, replay.plan.request
    require_planned_code(plan)
    names = [*request.targets, *(SILVER[topic] for topic in request.topics)]
    names = with_needs(names) if request.engine is Engine.SPARK else recomputation.with_needs(names)
    pinned = at_rest(settings, names)
    read = {topic: name for topic, name in SILVER.items() if name in names}
    bounds = {t: highest_offsets(settings, name, pinned[name], plan.days[0], plan.days[-1]) for t, name in read.items()}
    _await_bronze(settings, bounds)
    _require_all_of_kafka(settings, plan, bounds)
    step_back(settings)
    delete_staged(settings, number)  # what a killed attempt left: a table without its first commit can't be made again
    by_engine = _by_spark if request.engine is Engine.SPARK else _by_polars
    with _ends_when_cancelled(settings, number):
        rows, staged = by_engine(settings, replay, names, Pinned(pinned), bounds)
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


def _by_spark(
    settings: Settings, replay: Replay, names: Sequence[str], pinned: Pinned, bounds: Bounds
) -> tuple[dict[str, int], dict[str, Any]]:
    """The rows of each table, and where they are staged."""
    days = replay.plan.days
    limited = settings.model_copy(update={"parallelism": settings.replay_parallelism})
    spark = build_session(limited, settings.prefixed(f"replay-{replay.id}"))
    try:
        live, staging = DeltaTables(spark, settings), DeltaTables(spark, settings, staging=prefix(replay.id))
        before = LiveFirst(settings)
        rebuild = Rebuild(spark, live, staging, days[0], days[-1], pinned.versions, bounds, label_of(replay.id), before)
        rows = rebuild.run(names)
        return rows, {name: {"path": staging.path(name), "version": staging.version(name)} for name in names}
    finally:
        spark.stop()


def _by_polars(
    settings: Settings, replay: Replay, names: Sequence[str], pinned: Pinned, bounds: Bounds
) -> tuple[dict[str, int], dict[str, Any]]:
    """The same without Spark; marts by DataFusion if that was asked for."""
    staging = Staging(settings, replay.id)
    of_silver = {SILVER[topic]: found for topic, found in bounds.items()}
    work = recomputation.Recomputation(
        staging,
        "datafusion" if replay.plan.request.engine is Engine.DATAFUSION else "polars",
        replay.plan.days,
        pinned,
        of_silver,
        label_of(replay.id),
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
    if CORE is Core.FOLLOWER:
        return _at_cut(settings, {*names, *sources, *READ_BESIDE, *SILVER.values()}, timeout_seconds)
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


def _at_cut(settings: Settings, names: Iterable[str], timeout_seconds: float) -> dict[str, int]:
    """Those of a cut that holds all that the tables are now; the newest of marts."""
    now = versions_of(settings, names)
    try:
        return now | {**wait_for_cut(settings, {}, timeout_seconds, versions=now).versions}
    except NoCutError as none:
        raise ReplayError(str(none)) from none


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


@contextmanager
def _ends_when_cancelled(settings: Settings, number: int) -> Iterator[None]:
    """Ends this process, and Spark's with it, when somebody cancels the replay within the block."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(CANCEL_POLL_SECONDS):
            try:
                cancelled = store.get(settings, number).state is State.CANCELLED
            except Exception as error:  # whatever it is: a watcher that ended would never notice
                log.warning("nobody knows whether replay %d was cancelled: %s", number, error)
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
