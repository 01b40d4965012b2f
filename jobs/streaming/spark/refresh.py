"""Refresh: recompute what a micro-batch affects from silver, and swap it in.

The scope is what *every* record of the batch affects, new or known: after a kill between silver and a
refresh, the repeated batch brings nothing new, and the refresh is still owed. Rows are computed from silver
at fixed versions and replace the old ones in one commit; they add to nothing, so that repeating a refresh
changes nothing. The days that a scope touches are rewritten whole: kept rows plus new ones. Keys that
vanish are in the scope and not among the new rows.

No two commits of one table race: its owner is this driver, which refreshes each table once per batch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce

import polars as pl
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as sf

from jobs.rust_engines import revenue
from jobs.rust_engines.replacement import Replacement
from jobs.spark_sql import refreshed, run_sql
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.metrics import purchase_clicks, sessions
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Caused
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.metrics.purchase_clicks.spec import RULE as ATTRIBUTION
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION
from lakehouse.semantics.scopes import Window

CLICKS = "silver.clicks"
PURCHASES = "silver.purchases"
PRODUCT_METRICS = "gold.product_metrics_5m"

FILES_PER_COMMIT = 2


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pass over the refreshed tables.

    `versions` pins the tables read. `clicks` and `purchases` are the events whose rows are to be refreshed. `note`:
    what the commits say beside the versions that they read. Silver need not have the events any more.
    """

    tables: DeltaTables
    versions: Mapping[str, int]
    clicks: DataFrame
    purchases: DataFrame
    note: Caused

    def touched_purchases(self) -> pl.DataFrame:
        """What Polars needs to know of the purchases."""
        return pl.DataFrame(self.purchases.select(*revenue.TOUCHED).toArrow())

    def noted(self, *sources: str) -> Caused:
        """What a commit says that was computed from `sources`."""
        return self.note.reading({name: self.versions[name] for name in sources})

    def replacement(self, purpose: str, *sources: str) -> Replacement:
        """For the tables that Polars refreshes."""
        return Replacement(self.tables.settings, purpose, self.noted(*sources))

    def read(self, name: str, dates: Collection[date]) -> DataFrame:
        """Silver as pinned."""
        return self.tables.read(name, self.versions[name], dates)

    def sql(self, query: str, **frames: DataFrame) -> DataFrame:
        """Runs SQL over `frames`, its names in braces."""
        return run_sql(self.tables.spark, query, **frames)

    def refreshed(self, name: str, sources: Mapping[str, DataFrame]) -> DataFrame:
        """Rows of the table `name` from rows of its `sources`."""
        return refreshed(self.tables.spark, name, sources)


def union(frames: Collection[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)


def only(aggregate: DataFrame) -> Row:
    """The one row of an aggregate without grouping."""
    return aggregate.collect()[0]


def days(start: datetime, end: datetime) -> set[date]:
    """Every UTC date from `start` to `end`."""
    first, last = start.date(), end.date()
    return {first + timedelta(days=n) for n in range((last - first).days + 1)}


def refresh_windows(cycle: Cycle, name: str) -> int | None:
    """Replaces the rows of a table of windows that the cycle affects; returns the version, None for no change.

    An event names the windows that it is in: those that the touched events alone would give are to be replaced.
    """
    sources, key = table(name).reads, [*table(name).key, "event_date"]
    touched = {CLICKS: cycle.clicks, PURCHASES: cycle.purchases}
    scope = cycle.refreshed(name, {source: touched[source] for source in sources}).select(*key).distinct().persist()
    try:
        extent = _extent(name, scope)
        if extent["keys"] == 0:
            return acknowledge(cycle, name, *sources)
        rows = cycle.refreshed(name, {source: _in_extent(cycle, source, extent) for source in sources})
        rows = rows.join(sf.broadcast(scope), key, "left_semi").withColumn("changed_by", sf.lit(cycle.note.cause))
        dates = set(extent["dates"])
        current = cycle.tables.read(name, cycle.tables.version(name), dates)
        kept = current.join(sf.broadcast(scope), key, "left_anti")
        return _swap(cycle, name, kept, rows, dates, cycle.noted(*sources))
    finally:
        scope.unpersist()


def _extent(name: str, scope: DataFrame) -> Row:
    """How many windows, on which dates, and between which times their events lie, learnt in one pass."""
    (size_ms,) = {each.size_ms for each in SCOPES[name].affected.values() if isinstance(each, Window)}
    end = sf.col("window_start") + sf.expr(f"INTERVAL {size_ms} MILLISECONDS")
    return only(
        scope.agg(
            sf.count(sf.lit(1)).alias("keys"),
            sf.collect_set("event_date").alias("dates"),
            sf.min("window_start").alias("start"),
            sf.max(end).alias("end"),
            sf.collect_set(sf.to_date(end - sf.expr("INTERVAL 1 MILLISECOND"))).alias("end_dates"),
        )
    )


def _in_extent(cycle: Cycle, source: str, extent: Row) -> DataFrame:
    """The events of `source` that may be in the scope, with literal bounds so that files are skipped."""
    return cycle.read(source, {*extent["dates"], *extent["end_dates"]}).where(
        (sf.col("event_time") >= sf.lit(extent["start"])) & (sf.col("event_time") < sf.lit(extent["end"]))
    )


def acknowledge(cycle: Cycle, name: str, *sources: str) -> int | None:
    """Records that `name` needs no change for the pinned versions of `sources`.

    Without it, silver having moved on and the table not, nobody could tell "nothing to do" from "not done".
    """
    note = cycle.noted(*sources)
    if note.read_the_same(cycle.tables.last_note(name)):
        return None
    empty = cycle.tables.read(name, cycle.tables.version(name)).limit(0)
    return cycle.tables.append(name, empty, note)


def _swap(cycle: Cycle, name: str, kept: DataFrame, rows: DataFrame, dates: Collection[date], note: Caused) -> int:
    columns = table(name).column_names
    content = kept.select(*columns).union(rows.select(*columns)).coalesce(FILES_PER_COMMIT)
    return cycle.tables.replace(name, content, dates, note)


def refresh_sessions(cycle: Cycle) -> dict[str, int]:
    """Replaces every session that the cycle's clicks touch, and its parts."""
    gap = timedelta(milliseconds=SESSION.gap_ms)
    extent = only(cycle.clicks.agg(sf.min("event_time").alias("first"), sf.max("event_time").alias("last")))
    if extent["first"] is None:
        acknowledged = {name: acknowledge(cycle, name, CLICKS) for name in (sessions.PARTS, sessions.SESSIONS)}
        return {name: version for name, version in acknowledged.items() if version is not None}
    points = cycle.clicks.select("user_id", "event_time")
    known = (
        cycle.tables.read(sessions.SESSIONS, cycle.tables.version(sessions.SESSIONS))
        .where(
            (sf.col("session_end") > sf.lit(extent["first"] - gap))
            & (sf.col("session_start") < sf.lit(extent["last"] + gap))
        )
        .select("user_id", "session_start", "session_end")
        .join(sf.broadcast(points.select("user_id").distinct()), "user_id", "left_semi")
    )
    islands = cycle.sql(sessions.ISLANDS, points=points, known=known).persist()
    parts = None
    try:
        bounds = only(
            islands.agg(
                sf.array_distinct(sf.flatten(sf.collect_set("dates"))).alias("dates"),
                sf.min("island_start").alias("first"),
                sf.max("island_end").alias("last"),
            )
        )
        first, last, dates = bounds["first"], bounds["last"], bounds["dates"]
        near = cycle.read(CLICKS, days(first, last)).where(sf.col("event_time").between(sf.lit(first), sf.lit(last)))
        clicks = cycle.sql(sessions.INSIDE, clicks=near, islands=islands)
        parts = cycle.refreshed(sessions.PARTS, {CLICKS: clicks}).persist()
        rows = {sessions.PARTS: parts, sessions.SESSIONS: cycle.refreshed(sessions.SESSIONS, {sessions.PARTS: parts})}
        written = {}
        # Parts first: which dates hold old rows is known from the sessions. A kill between the two commits
        # leaves the old sessions, from which the repeated batch finds the same dates again.
        for name in (sessions.PARTS, sessions.SESSIONS):
            current = cycle.tables.read(name, cycle.tables.version(name), dates)
            kept = cycle.sql(sessions.OUTSIDE, rows=current, islands=islands)
            written[name] = _swap(cycle, name, kept, rows[name], dates, cycle.noted(CLICKS))
        return written
    finally:
        islands.unpersist()
        if parts is not None:
            parts.unpersist()


def refresh_purchase_clicks(cycle: Cycle) -> int | None:
    """Replaces the attribution of every purchase that the cycle's purchases and clicks touch."""
    name = purchase_clicks.TABLE
    touched = cycle.sql(purchase_clicks.TOUCHED, purchases=cycle.purchases, clicks=cycle.clicks).persist()
    affected = keys = None
    try:
        span = only(
            touched.agg(
                sf.array_union(sf.collect_set(sf.to_date("earliest")), sf.collect_set(sf.to_date("latest"))).alias(
                    "dates"
                ),
                sf.min("earliest").alias("first"),
                sf.max("latest").alias("last"),
            )
        )
        if span["first"] is None:
            return acknowledge(cycle, name, CLICKS, PURCHASES)
        purchases = cycle.read(PURCHASES, span["dates"]).where(
            sf.col("event_time").between(sf.lit(span["first"]), sf.lit(span["last"]))
        )
        affected = cycle.sql(purchase_clicks.AFFECTED, purchases=purchases, touched=touched).persist()
        # A purchase of the cycle that silver no longer has is among the rows to replace, and not among the new ones.
        keys = cycle.sql(purchase_clicks.KEYS, affected=affected, purchases=cycle.purchases).persist()
        extent = only(
            keys.agg(
                sf.collect_set("event_date").alias("dates"),
                sf.min("event_time").alias("first"),
                sf.max("event_time").alias("last"),
            )
        )
        if extent["first"] is None:
            return acknowledge(cycle, name, CLICKS, PURCHASES)
        earliest = extent["first"] - timedelta(milliseconds=ATTRIBUTION.reach_ms)
        clicks = cycle.read(CLICKS, _with_eves(extent["dates"])).where(
            sf.col("event_time").between(sf.lit(earliest), sf.lit(extent["last"]))
        )
        rows = cycle.refreshed(name, {CLICKS: clicks, PURCHASES: affected})
        current = cycle.tables.read(name, cycle.tables.version(name), extent["dates"])
        kept = current.join(sf.broadcast(keys), list(purchase_clicks.KEY), "left_anti")
        return _swap(cycle, name, kept, rows, extent["dates"], cycle.noted(CLICKS, PURCHASES))
    finally:
        touched.unpersist()
        for frame in (affected, keys):
            if frame is not None:
                frame.unpersist()


def _with_eves(dates: Collection[date]) -> set[date]:
    """`dates` and the day before each: where the clicks of purchases just after midnight lie."""
    return {*dates, *(day - timedelta(days=1) for day in dates)}
