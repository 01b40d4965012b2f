"""Revenue and user totals, refreshed by Polars from the purchases that a micro-batch touched; see `replacement`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from jobs.rust_engines.replacement import Replacement
from lakehouse.checked_sums import checked_sum
from lakehouse.delta import scan
from lakehouse.semantics.metrics.region_revenue_5m.spec import RULE as TUMBLING
from lakehouse.semantics.metrics.region_revenue_sliding_10m.spec import RULE as SLIDING

SOURCE: Final = "silver.purchases"
TOUCHED: Final = ("region", "user_id", "event_time")
"""What is to be known of a touched purchase."""

REGION_5M: Final = "gold.region_revenue_5m"
REGION_DAILY: Final = "gold.region_revenue_daily"
REGION_SLIDING: Final = "gold.region_revenue_sliding_10m"
USER_DAILY: Final = "gold.user_totals_daily"
USER_TOTALS: Final = "gold.user_totals"
TABLES: Final = (REGION_5M, REGION_DAILY, REGION_SLIDING, USER_DAILY, USER_TOTALS)

Windows = Callable[[pl.DataFrame], pl.DataFrame]
"""Adds `window_start` and its `event_date`; a purchase in several windows becomes as many rows."""

_SUMS: Final = (
    pl.len().alias("purchases"),
    checked_sum("amount_cents").alias("revenue_cents"),
    pl.len().alias("events"),
    # Cast before they are summed: a sum of 60-bit hashes overflows 64 bits after a few rows.
    pl.col("record_hash").cast(pl.Decimal(38, 0)).sum().alias("fingerprint"),
)
_ROLLED_UP: Final = (pl.sum("purchases", "events", "fingerprint"), checked_sum("revenue_cents"))
TUMBLING_SIZE: Final = timedelta(milliseconds=TUMBLING.size_ms)
SLIDING_SIZE: Final = timedelta(milliseconds=SLIDING.size_ms)
_SLIDE: Final = timedelta(milliseconds=SLIDING.every_ms)


def tumbling(purchases: pl.DataFrame) -> pl.DataFrame:
    """The one tumbling window of each purchase."""
    return _dated(purchases.with_columns(window_start=pl.col("event_time").dt.truncate(TUMBLING_SIZE)))


def sliding(purchases: pl.DataFrame) -> pl.DataFrame:
    """The sliding windows of each purchase; the first may begin on the day before."""
    latest = pl.col("event_time").dt.truncate(_SLIDE)
    starts = [latest - _SLIDE * back for back in range(SLIDING_SIZE // _SLIDE)]
    return _dated(purchases.with_columns(window_start=pl.concat_list(starts)).explode("window_start"))


def _dated(windows: pl.DataFrame) -> pl.DataFrame:
    return windows.with_columns(event_date=pl.col("window_start").dt.date())


def of_windows(purchases: pl.DataFrame, size: timedelta) -> pl.DataFrame:
    """Sums of purchases that `Windows` put into windows of `size`."""
    rows = purchases.group_by("region", "window_start", "event_date").agg(*_SUMS)
    return rows.with_columns(window_end=pl.col("window_start") + size)


def of_region_days(windows: pl.DataFrame) -> pl.DataFrame:
    """Sums of `REGION_5M`'s rows of whole days."""
    return windows.group_by("region", "event_date").agg(*_ROLLED_UP)


def of_user_days(purchases: pl.DataFrame) -> pl.DataFrame:
    span = (pl.min("event_time").alias("first_purchase"), pl.max("event_time").alias("last_purchase"))
    return purchases.group_by("user_id", "event_date").agg(*_SUMS, *span)


def of_users(days: pl.LazyFrame) -> pl.DataFrame:
    """Sums of `USER_DAILY`'s rows, of all of a user's days."""
    return days.group_by("user_id").agg(*_ROLLED_UP, pl.min("first_purchase"), pl.max("last_purchase")).collect()


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh of all five tables.

    `purchases`: the touched ones, with the columns `TOUCHED`. `version`: that of silver which rows are computed from.
    """

    purchases: pl.DataFrame
    version: int
    replacement: Replacement

    def run(self) -> Iterator[tuple[str, int | None]]:
        """Refreshes each table, a finer one before what rolls it up; yields its name and its new version, None where
        it has read this version of silver already and nothing is touched.

        Raises:
            TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
            CommitRefusedError: the store refused every attempt.
        """
        if self.purchases.is_empty():
            for name in TABLES:
                yield name, self.replacement.acknowledge(name)
            return
        yield from self.regions()
        yield REGION_SLIDING, self._windows(REGION_SLIDING, sliding, SLIDING_SIZE)[0]
        yield from self._users()

    def regions(self) -> Iterator[tuple[str, int]]:
        """As `run`, of the two tables of regions that don't slide; something must be touched."""
        version, content = self._windows(REGION_5M, tumbling, TUMBLING_SIZE)
        yield REGION_5M, version
        daily = tumbling(self.purchases).select("region", "event_date").unique()
        rows = of_region_days(content.join(daily, ["region", "event_date"], "semi"))
        yield REGION_DAILY, self._swap(REGION_DAILY, daily, rows)[0]

    def _users(self) -> Iterator[tuple[str, int]]:
        key = ["user_id", "event_date"]
        keys = self.purchases.select("user_id", event_date=pl.col("event_time").dt.date()).unique()
        rows = of_user_days(self._silver(keys["event_date"].unique()).join(keys, key, "semi"))
        yield USER_DAILY, self._swap(USER_DAILY, keys, rows)[0]
        users = keys.select("user_id").unique()
        # A user's total needs all their days: of the finer table, not of events.
        totals = of_users(scan(self.replacement.settings, USER_DAILY).join(users.lazy(), "user_id", "semi"))
        yield USER_TOTALS, self._swap(USER_TOTALS, users, totals)[0]

    def _windows(self, name: str, windows: Windows, size: timedelta) -> tuple[int, pl.DataFrame]:
        key = ["region", "window_start", "event_date"]
        keys = windows(self.purchases).select(key).unique()
        ends = (keys["window_start"] + size - timedelta(milliseconds=1)).dt.date()
        purchases = self._silver(pl.concat([keys["event_date"], ends]).unique())
        return self._swap(name, keys, of_windows(windows(purchases).join(keys, key, "semi"), size))

    def _silver(self, days: pl.Series) -> pl.DataFrame:
        return (
            scan(self.replacement.settings, SOURCE, version=self.version)
            .filter(pl.col("event_date").is_in(days.to_list()))
            .select(*TOUCHED, "event_date", "amount_cents", "record_hash")
            .collect()
        )

    def _swap(self, name: str, keys: pl.DataFrame, rows: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        """Replaces the rows with these keys; returns the version and the content of the days that they lie on."""
        days = keys["event_date"].unique().to_list() if "event_date" in keys.columns else []
        return self.replacement.swap(name, days, rows, lambda held: held.join(keys, keys.columns, "anti"))
