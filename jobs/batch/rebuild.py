"""Rebuilds silver and gold of a range of event dates from bronze, beside the real tables.

Run as ``python -m jobs.batch.rebuild --from 2026-03-01 --to 2026-03-02``. Results lie in staging tables
(``staging/<layer>__<name>``) and equal what the stream made of the same records. It uses the stream's SQL with
another scope, everything in the range, and reads the real tables only beyond the range's edges: for a session
or a window that crosses one, and for the other days of a user's total.

With ``--publish`` the tables that were asked for are then put in place of the real ones' days: what repairs a table
after `lakehouse table restore`. Their owner must be stopped.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from jobs.process import exit_status
from jobs.spark_session import build_session
from jobs.spark_sql import bound, refreshed, run_sql
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.metrics import sessions
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import CLICKS, PURCHASES, TRANSACTIONS, EventContract
from lakehouse.contracts.graph import DERIVED, EVENT_TABLES, upstream
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import UnknownTableError, ingested, table
from lakehouse.delta import create_table, open_table
from lakehouse.delta.notes import Asked
from lakehouse.runtime.owners import OwnerRunningError, owners_stopped
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION
from lakehouse.settings import Settings

JOB: Final = "rebuild"
log = logging.getLogger(JOB)


class NothingToRebuildError(RuntimeError):
    """No valid event of the range is in bronze."""


def with_needs(names: Sequence[str]) -> list[str]:
    """`names` and what they are computed from, in order.

    Raises:
        UnknownTableError: a name that can't be rebuilt, of no contract.
        ValueError: a table that this job doesn't make.
    """
    for name in names:
        if name not in DERIVED:
            table(name)
            raise ValueError(f"{name} is not rebuilt from bronze; those that are: {', '.join(DERIVED)}")
    return list(upstream(names, DERIVED))


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One rebuild of the event dates `first` to `last`, both included.

    `pinned`: versions of real tables; others are read at their newest. `bounds`: by topic and partition, the highest
    offset of an event that counts; without a topic, all of its events do. `name`: what rows and commits say. `before`
    is told which table is rebuilt next, and may take time.
    """

    spark: SparkSession
    live: DeltaTables
    staging: DeltaTables
    first: date
    last: date
    pinned: Mapping[str, int] = field(default_factory=dict)
    bounds: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    name: str = ""
    before: Callable[[str], None] = lambda _table: None

    @property
    def label(self) -> str:
        return self.name or f"rebuild {self.first} to {self.last}"

    def run(self, names: Sequence[str]) -> dict[str, int]:
        """Rebuilds `names` in order; returns the rows of each.

        Raises:
            NothingToRebuildError: bronze has no event in the range.
        """
        self._check_range()
        counts = {}
        for number, name in enumerate(names, 1):
            self.before(name)
            started = time.monotonic()
            log.info("%d of %d: %s ...", number, len(names), name)
            self.staging.create(name)
            self.staging.overwrite(name, self._rows(name), Asked(job=JOB, scope=self.label))
            counts[name] = self._staged(name).count()
            log.info("%s: %s rows in %.1f s", name, f"{counts[name]:,}", time.monotonic() - started)
        return counts

    def publish(self, name: str) -> int:
        """Puts the rebuilt rows in place of the real table's, in one commit; returns its version.

        The commit names the newest silver, which nobody changes meanwhile: all that it holds of the range is in the
        rows. What bronze holds beyond silver belongs to a batch that the owner, started again, repeats whole.
        """
        contract = table(name)
        sources = [source for source in with_needs([name]) if source != name and table(source).insert_only]
        read = {source: self.live.version(source) for source in sources or [name.replace("silver.", "bronze.")]}
        dates = [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]
        note = Asked(job=JOB, scope=self.label, read_versions=read)
        version = self.live.replace(name, self._staged(name), dates, note)
        log.info("%s: published as version %d%s", name, version, "" if contract.partition_by else ", whole")
        return version

    def _rows(self, name: str) -> DataFrame:
        contract = table(name)
        rows = refreshed(self.spark, name, {source: self._input(name, source) for source in contract.reads})
        if contract.partition_by:
            rows = rows.where(self._in_range("event_date"))
        return rows.withColumn("changed_by", sf.lit(self.label)) if "changed_by" in contract.column_names else rows

    def _input(self, name: str, source: str) -> DataFrame:
        """What the rows of `name` in the range need of `source`."""
        if source.startswith("bronze."):
            # Of versions all: an old one may be valid in the range.
            return self._bronze(ingested(source)) if table(name).partition_by else self._live(source)
        if name == sessions.PARTS:
            return self._clicks_of_sessions()
        if source in EVENT_TABLES:
            return self._with_neighbours(source)
        if table(name).partition_by or not table(source).partition_by:
            return self._staged(source)
        return self._staged(source).unionByName(self._live(source).where(~self._in_range("event_date")))

    def _clicks_of_sessions(self) -> DataFrame:
        """The clicks of the sessions that begin in the range."""
        start, end = sf.lit(self.first).cast("timestamp"), sf.lit(self.last + timedelta(days=1)).cast("timestamp")
        gap = sf.expr(f"INTERVAL {SESSION.gap_ms} MILLISECONDS")
        begins, ends = sf.col("session_start"), sf.col("session_end")
        crossing = self._live(sessions.SESSIONS).where(
            ((begins < start) & (ends > start - gap)) | ((ends >= end - gap) & (begins < end + gap))
        )
        islands = run_sql(self.spark, sessions.ISLANDS, points=self._staged("silver.clicks"), known=crossing).where(
            (sf.col("island_start") >= start) & (sf.col("island_start") < end)
        )
        # An island may reach beyond the next day; what lies past its end does not matter.
        clicks = self._staged("silver.clicks").unionByName(
            self._live("silver.clicks").where(sf.col("event_date") > sf.lit(self.last))
        )
        return run_sql(self.spark, sessions.INSIDE, clicks=clicks, islands=islands)

    def _with_neighbours(self, name: str) -> DataFrame:
        """The rebuilt days, and the real table's day before and after."""
        beside = [self.first - timedelta(days=1), self.last + timedelta(days=1)]
        return self._staged(name).unionByName(self._live(name).where(sf.col("event_date").isin(beside)))

    def _check_range(self) -> None:
        held = [self._bronze(contract).limit(1).count() for contract in (CLICKS, PURCHASES, TRANSACTIONS)]
        if any(held):
            return
        times = self._live("bronze.clicks").agg(sf.min("event_time").alias("low"), sf.max("event_time").alias("high"))
        known = times.collect()[0]
        held_range = (
            f"its clicks lie from {known['low']} to {known['high']} UTC" if known["low"] else "it has no clicks"
        )
        raise NothingToRebuildError(f"bronze has no event from {self.first} to {self.last}: {held_range}")

    def _bronze(self, contract: EventContract) -> DataFrame:
        """Events of the range. An event arrives at most 5 minutes before its own time."""
        earliest = self.first - timedelta(days=1)
        happened = sf.to_date("event_time").between(sf.lit(self.first), sf.lit(self.last))
        rows = self._live(f"bronze.{contract.table}").where((sf.col("arrival_date") >= sf.lit(earliest)) & happened)
        if contract.topic in self.bounds:
            rows = rows.where(sf.col("offset") <= bound(self.bounds[contract.topic]))
        return rows

    def _in_range(self, column: str) -> Column:
        return sf.col(column).between(sf.lit(self.first), sf.lit(self.last))

    def _live(self, name: str) -> DataFrame:
        return self.live.read(name, self.pinned[name] if name in self.pinned else self.live.version(name))

    def _staged(self, name: str) -> DataFrame:
        return self.staging.read(name, self.staging.version(name))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.batch.rebuild",
        description="Rebuild silver and gold of a range of event dates from bronze, into staging tables.",
        epilog="Example: python -m jobs.batch.rebuild --from 2026-03-01 --to 2026-03-02 --tables silver.sessions",
    )
    parser.add_argument("--from", dest="first", required=True, type=_day, metavar="DATE", help="first event date, UTC")
    parser.add_argument("--to", dest="last", required=True, type=_day, metavar="DATE", help="last event date, included")
    parser.add_argument(
        "--tables",
        nargs="+",
        default=list(DERIVED),
        metavar="TABLE",
        help="what to rebuild with what it needs; default: all",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="put the rebuilt days of --tables in place of the real ones; their owner must be stopped",
    )
    arguments = parser.parse_args(argv)
    arguments.published = arguments.tables if arguments.publish else []
    if arguments.publish and (
        grown := [name for name in arguments.tables if name in DERIVED and table(name).insert_only]
    ):
        parser.error(f"{', '.join(grown)}: grows by insertion only and is not replaced; name others with --tables")
    if arguments.first > arguments.last:
        parser.error(f"--from {arguments.first} lies after --to {arguments.last}")
    try:
        arguments.tables = with_needs(arguments.tables)
    except (UnknownTableError, ValueError) as error:
        parser.error(str(error))
    return arguments


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-03-01") from None


def rebuild(
    settings: Settings,
    first: date,
    last: date,
    names: Sequence[str] = tuple(DERIVED),
    published: Sequence[str] = (),
) -> dict[str, int]:
    """Rebuilds `names` (see `with_needs`) for the dates; returns the rows of each staging table.

    Those `published` then replace the real ones. Raises:
        OwnerRunningError: a table is to be published, and its owner is not stopped.
        TableMissingError: bronze does not exist yet.
        ServiceDownError: MinIO does not answer.
        NothingToRebuildError: bronze has no event in the range.
    """
    open_table(settings, f"bronze.{CLICKS.table}")
    create_table(settings, f"bronze.{TRANSACTIONS.table}")  # empty where its ingester, Flink, has never run
    with ExitStack() as held:
        held.enter_context(owners_stopped(settings, published, JOBS.values()))
        spark = build_session(settings, settings.prefixed(JOB))
        held.callback(spark.stop)
        live, staging = DeltaTables(spark, settings), DeltaTables(spark, settings, staging="")
        work = Rebuild(spark, live, staging, first, last)
        counts = work.run(names)
        for name in published:
            work.publish(name)
        return counts


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    if CORE is Core.FOLLOWER:
        log.error(
            "the follower makes a table anew by itself that was put back or that lacks rows; see: lakehouse replay"
        )
        return 2

    def work(settings: Settings) -> None:
        rebuild(settings, arguments.first, arguments.last, arguments.tables, arguments.published)

    return exit_status(log, work, NothingToRebuildError, OwnerRunningError)


if __name__ == "__main__":
    sys.exit(main())
