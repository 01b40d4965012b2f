"""Rows of whole days, recomputed on one machine: silver's events from bronze, and what follows from these by its SQL.

Marts are computed by Polars or DataFusion from the tables that they are made of, as `publish` does. What a row is say
the functions and the SQL of the refreshes; here they meet whole days instead of what has changed.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Final, Protocol, cast

import polars as pl

from jobs.rust_engines.days import first_millisecond, last_millisecond
from jobs.rust_engines.enrichment import VERSIONS, enriched
from jobs.rust_engines.publish import MARTS, Engine
from jobs.rust_engines.ranges import END, START, counting, inside, needed
from jobs.rust_engines.sources import Pinned, Sources
from jobs.rust_engines.sql import Frames, refreshed
from jobs.rust_engines.transactions import IDENTITY, first_of_each, typed
from lakehouse.contracts.graph import EVENT_TABLES, upstream
from lakehouse.contracts.tables import table
from lakehouse.contracts.times import milliseconds, utc
from lakehouse.delta import scan
from lakehouse.replay.request import SILVER, STREAMED
from lakehouse.replay.staging import Staging
from lakehouse.semantics.metrics import ROOMS
from lakehouse.semantics.scopes import FOREVER, Followed, NaturalSession

_ONE_DAY: Final = timedelta(days=1)


class Inputs(Protocol):
    """What rows are computed from."""

    def records(self, name: str, day: date) -> pl.DataFrame:
        """Bronze's records of the silver table `name` whose events happened on `day`; in any order, doubled or not."""

    def rows(self, name: str, first: date, last: date) -> pl.LazyFrame:
        """A table's rows of these days, both included: the recomputed ones where there are any, else the stored."""

    def all_rows(self, name: str) -> pl.LazyFrame:
        """The same of all days."""


Rule = Callable[[Inputs, date], pl.DataFrame]
"""How the rows of a table on a day are computed (of an unpartitioned one: all rows, whatever the day), once those are
that it is computed from."""


def _events(name: str) -> Callable[[Inputs, date], pl.DataFrame]:
    def compute(inputs: Inputs, day: date) -> pl.DataFrame:
        events = first_of_each(inputs.records(name, day))
        return enriched(events, inputs.all_rows(VERSIONS)) if "product_id" in events.columns else events

    return compute


def _by_sql(name: str) -> Rule:
    """The SQL of the table over what its scope says that the rows of a day need."""
    room = ROOMS[name]

    def compute(inputs: Inputs, day: date) -> pl.DataFrame:
        whole_day = pl.DataFrame(
            {START: [milliseconds(first_millisecond(day))], END: [milliseconds(last_millisecond(day))]}
        )
        sources = {}
        for source, follows in room.follows.items():
            if source in EVENT_TABLES and isinstance(follows.needs, NaturalSession):
                sources[source] = _of_sessions(inputs, source, day, follows.needs)
            elif table(name).day is None:
                sources[source] = inputs.all_rows(source).collect()
            else:
                sources[source] = _needed(inputs, source, follows, needed(follows.needs, whole_day))
        rows = refreshed(_frames(), name, sources)
        return rows.filter(pl.col("event_date") == day) if table(name).day else rows

    return compute


@cache
def _frames() -> Frames:
    return Frames()


def _needed(inputs: Inputs, source: str, follows: Followed, ranges: pl.DataFrame) -> pl.DataFrame:
    first, last = ranges[START].min(), ranges[END].max()
    if follows.time is None or first == -FOREVER:
        rows = inputs.all_rows(source).collect()
    else:
        days = [utc(cast(int, edge)).date() for edge in (first, last)]
        rows = inputs.rows(source, *days).collect()
    rows = counting(rows, follows.only)
    return rows.filter(inside(rows, [ranges], follows.time))


def _of_sessions(inputs: Inputs, source: str, day: date, session: NaturalSession) -> pl.DataFrame:
    """The events of the sessions that begin on `day`, and of the gap before it: as many days more as they last."""
    gap, first = timedelta(milliseconds=session.gap_ms), first_millisecond(day)
    last = day
    while True:
        last += _ONE_DAY
        events = inputs.rows(source, day - _ONE_DAY, last).filter(pl.col("event_time") > first - gap).collect()
        apart = pl.col("event_time").diff().over(session.key, order_by="event_time").fill_null(gap) >= gap
        open_ended = (
            events.with_columns(apart=apart)
            .group_by(session.key)
            .agg(pl.max("event_time"), begun=pl.col("event_time").filter("apart").max())
            .filter(pl.col("begun") < first + _ONE_DAY, pl.col("event_time") > last_millisecond(last) - gap)
        )
        if open_ended.is_empty():
            return events


RULES: Final[dict[str, Rule]] = {
    **{name: _events(name) for name in SILVER.values()},
    **{name: _by_sql(name) for name in STREAMED},
}
"""Tables that are recomputed from events: silver's by Polars, what follows from them by its SQL on DataFusion."""


def with_needs(names: Collection[str]) -> list[str]:
    """Those of `names` that have rules or are marts, with what the rules need, in an order in which each follows what
    it needs. Marts are computed from the tables as they are."""
    return [*upstream([name for name in names if name in RULES], RULES), *(name for name in MARTS if name in names)]


def computed(name: str, inputs: Inputs, day: date, label: str) -> pl.DataFrame:
    """The rows of `name`, one of `RULES`, by its contract; `label`: what changed them."""
    return typed(name, RULES[name](inputs, day).with_columns(changed_by=pl.lit(label)))


def within(rows: pl.LazyFrame, bounds: Mapping[int, int]) -> pl.LazyFrame:
    """The rows up to these offsets, by partition."""
    limits = pl.LazyFrame(
        {"partition": list(bounds), "_limit": list(bounds.values())},
        schema={"partition": pl.Int32, "_limit": pl.Int64},
    )
    return rows.join(limits, "partition").filter(pl.col("offset") <= pl.col("_limit")).drop("_limit")


def beyond(rows: pl.LazyFrame, bounds: Mapping[int, int]) -> pl.LazyFrame:
    """The others: those that `within` leaves out."""
    limit = pl.col("partition").replace_strict(dict(bounds), default=-1, return_dtype=pl.Int64)
    return rows.filter(pl.col("offset") > limit)


def not_displaced(events: pl.LazyFrame, rivals: pl.LazyFrame) -> pl.LazyFrame:
    """`events` without those that one of `rivals` is a copy of, from a lower (partition, offset)."""
    met = events.join(rivals.select(*IDENTITY, rival="partition", rival_offset="offset"), IDENTITY)
    same = pl.col("rival") == pl.col("partition")
    lower = (pl.col("rival") < pl.col("partition")) | (same & (pl.col("rival_offset") < pl.col("offset")))
    return events.join(met.filter(lower), IDENTITY, "anti")


@dataclass(frozen=True, slots=True)
class Recomputation:
    """One recomputation of `days` into `staging`, marts by `engine`.

    `pinned`: the version of each table that is read. `bounds`: by silver table and partition, the highest offset of an
    event that counts. `label`: what rows say of themselves. `before` is told what is computed next, and may take time.
    """

    staging: Staging
    engine: Engine
    days: tuple[date, ...]
    pinned: Pinned
    bounds: Mapping[str, Mapping[int, int]]
    label: str
    before: Callable[[str], None]

    def run(self, names: Collection[str]) -> dict[str, int]:
        """Recomputes `names` with what they need; returns the rows of each."""
        counts: dict[str, int] = {}
        for name in with_needs(names):
            self.staging.create(name)
            counts[name] = 0
            for day in self.days if table(name).day else self.days[:1]:
                self.before(f"{name} of {day}")
                rows = self._mart(name, day) if name in MARTS else computed(name, self, day, self.label)
                self.staging.append(name, rows)
                counts[name] += rows.height
        return counts

    def _mart(self, name: str, day: date) -> pl.DataFrame:
        mart = MARTS[name]
        return mart.compute(self.engine, Sources.pin(self.staging.settings, mart.reads, self.pinned), day)

    def records(self, name: str, day: date) -> pl.DataFrame:
        """An event arrives at most 5 minutes before its own time."""
        bronze = name.replace("silver.", "bronze.")
        columns = [c for c in table(bronze).column_names if c not in ("value", "arrival_date")]
        of_day = (
            scan(self.staging.settings, bronze)
            .filter(pl.col("arrival_date") >= day - _ONE_DAY)
            .filter(pl.col("event_time").is_between(first_millisecond(day), last_millisecond(day)))
            .select(columns)
        )
        return within(of_day, self.bounds[name]).collect(engine="streaming")

    def rows(self, name: str, first: date, last: date) -> pl.LazyFrame:
        stored = self._stored(name).filter(pl.col("event_date").is_between(first, last))
        return self._instead(stored, self.staging.scan(name, (first, last)))

    def all_rows(self, name: str) -> pl.LazyFrame:
        if table(name).day is None:
            return self._stored(name)
        return self._instead(self._stored(name), self.staging.scan(name))

    def _stored(self, name: str) -> pl.LazyFrame:
        return scan(self.staging.settings, name, version=self.pinned.version(name))

    def _instead(self, stored: pl.LazyFrame, staged: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([stored.filter(~pl.col("event_date").is_in(self.days)), staged])
