"""Rows of whole days, recomputed by Polars: silver events from bronze, revenue, totals and fraud decisions from these.

Marts are computed by Polars or DataFusion from the tables that they are made of, as `publish` does. The functions that
say what a row is are those of the refreshes; here they meet whole days instead of what a micro-batch touched.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

import polars as pl

from jobs.rust_engines import fraud, revenue
from jobs.rust_engines.days import first_millisecond, last_millisecond
from jobs.rust_engines.enrichment import VERSIONS, enriched
from jobs.rust_engines.publish import MARTS, Engine
from jobs.rust_engines.sources import Pinned, Sources
from jobs.rust_engines.transactions import IDENTITY, first_of_each, typed
from lakehouse.contracts.graph import upstream
from lakehouse.contracts.tables import table
from lakehouse.delta import scan
from lakehouse.replay.staging import Staging

CLICKS: Final = "silver.clicks"
PURCHASES: Final = "silver.purchases"
TRANSACTIONS: Final = "silver.transactions"
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


def _region_5m(inputs: Inputs, day: date) -> pl.DataFrame:
    return revenue.of_windows(revenue.tumbling(inputs.rows(PURCHASES, day, day).collect()), revenue.TUMBLING_SIZE)


def _region_daily(inputs: Inputs, day: date) -> pl.DataFrame:
    return revenue.of_region_days(inputs.rows(revenue.REGION_5M, day, day).collect())


def _region_sliding(inputs: Inputs, day: date) -> pl.DataFrame:
    """The last windows of the day hold purchases of the next one's first minutes."""
    before = last_millisecond(day) + revenue.SLIDING_SIZE
    purchases = inputs.rows(PURCHASES, day, day + _ONE_DAY).filter(pl.col("event_time") <= before).collect()
    windows = revenue.sliding(purchases).filter(pl.col("event_date") == day)
    return revenue.of_windows(windows, revenue.SLIDING_SIZE)


def _user_daily(inputs: Inputs, day: date) -> pl.DataFrame:
    return revenue.of_user_days(inputs.rows(PURCHASES, day, day).collect())


def _user_totals(inputs: Inputs, _day: date) -> pl.DataFrame:
    return revenue.of_users(inputs.all_rows(revenue.USER_DAILY))


def _fraud_decisions(inputs: Inputs, day: date) -> pl.DataFrame:
    """A decision depends on the two hours before it."""
    since = first_millisecond(day) - fraud.REACH
    paid = inputs.rows(TRANSACTIONS, day - _ONE_DAY, day).filter(pl.col("event_time") >= since).collect()
    return fraud.with_sums(fraud.decide(paid).filter(pl.col("event_date") == day))


RULES: Final[dict[str, Rule]] = {
    CLICKS: _events(CLICKS),
    PURCHASES: _events(PURCHASES),
    TRANSACTIONS: _events(TRANSACTIONS),
    revenue.REGION_5M: _region_5m,
    revenue.REGION_DAILY: _region_daily,
    revenue.REGION_SLIDING: _region_sliding,
    revenue.USER_DAILY: _user_daily,
    revenue.USER_TOTALS: _user_totals,
    fraud.TABLE: _fraud_decisions,
}
"""Tables that Polars recomputes from events."""


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
            for day in self.days if table(name).partition_by else self.days[:1]:
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
        if not table(name).partition_by:
            return self._stored(name)
        return self._instead(self._stored(name), self.staging.scan(name))

    def _stored(self, name: str) -> pl.LazyFrame:
        return scan(self.staging.settings, name, version=self.pinned.version(name))

    def _instead(self, stored: pl.LazyFrame, staged: pl.LazyFrame) -> pl.LazyFrame:
        return pl.concat([stored.filter(~pl.col("event_date").is_in(self.days)), staged])
