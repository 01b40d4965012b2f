"""Revenue and user totals, refreshed by Polars from the purchases that a micro-batch touched.

Their owner, the Spark driver, calls this: these tables are small, and a commit that costs Spark seconds of planning
costs delta-rs a tenth of one. The rules are those of every refresh: rows come from silver at one fixed version and
replace the old ones, one commit per table; the days that the scope touches are rewritten whole, kept rows plus new
ones; keys that vanish are in the scope and not among the new rows.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import polars as pl

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, open_table, replace_all, replace_days, scan, scan_opened
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings

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
    pl.sum("amount_cents").alias("revenue_cents"),
    pl.len().alias("events"),
    # Cast before they are summed: a sum of 60-bit hashes overflows 64 bits after a few rows.
    pl.col("record_hash").cast(pl.Decimal(38, 0)).sum().alias("fingerprint"),
)
_ROLLED_UP: Final = pl.sum("purchases", "revenue_cents", "events", "fingerprint")


def tumbling(purchases: pl.DataFrame) -> pl.DataFrame:
    """The one window of 5 minutes of each purchase."""
    return _dated(purchases.with_columns(window_start=pl.col("event_time").dt.truncate("5m")))


def sliding(purchases: pl.DataFrame) -> pl.DataFrame:
    """The ten windows of 10 minutes of each purchase; the first may begin on the day before."""
    latest = pl.col("event_time").dt.truncate("1m")
    starts = [latest - timedelta(minutes=back) for back in range(10)]
    return _dated(purchases.with_columns(window_start=pl.concat_list(starts)).explode("window_start"))


def _dated(windows: pl.DataFrame) -> pl.DataFrame:
    return windows.with_columns(event_date=pl.col("window_start").dt.date())


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh of all five tables.

    `purchases`: the touched ones, with the columns `TOUCHED`. `version`: that of silver which rows are computed from.
    `changed_by`: what the rows say of themselves; `metadata`: what the commits do.
    """

    settings: Settings
    purchases: pl.DataFrame
    version: int
    changed_by: str
    metadata: Mapping[str, Any]

    @property
    def _app_id(self) -> str:
        return self.settings.prefixed("revenue")

    def run(self) -> Iterator[tuple[str, int | None]]:
        """Refreshes each table, a finer one before what rolls it up; yields its name and its new version, None where
        it has read this version of silver already and nothing is touched.

        Raises:
            TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
            CommitRefusedError: the store refused every attempt.
        """
        if self.purchases.is_empty():
            for name in TABLES:
                yield name, self._acknowledge(name)
            return
        yield from self._regions()
        yield REGION_SLIDING, self._windows(REGION_SLIDING, sliding, timedelta(minutes=10))[0]
        yield from self._users()

    def _regions(self) -> Iterator[tuple[str, int]]:
        version, content = self._windows(REGION_5M, tumbling, timedelta(minutes=5))
        yield REGION_5M, version
        daily = tumbling(self.purchases).select("region", "event_date").unique()
        rows = content.join(daily, ["region", "event_date"], "semi").group_by("region", "event_date").agg(_ROLLED_UP)
        yield REGION_DAILY, self._swap(REGION_DAILY, daily, rows)[0]

    def _users(self) -> Iterator[tuple[str, int]]:
        key = ["user_id", "event_date"]
        keys = self.purchases.select("user_id", event_date=pl.col("event_time").dt.date()).unique()
        span = (pl.min("event_time").alias("first_purchase"), pl.max("event_time").alias("last_purchase"))
        rows = self._silver(keys["event_date"].unique()).join(keys, key, "semi").group_by(key).agg(*_SUMS, *span)
        yield USER_DAILY, self._swap(USER_DAILY, keys, rows)[0]
        users = keys.select("user_id").unique()
        # A user's total needs all their days: of the finer table, not of events.
        history = scan(self.settings, USER_DAILY).join(users.lazy(), "user_id", "semi").group_by("user_id")
        totals = history.agg(_ROLLED_UP, pl.min("first_purchase"), pl.max("last_purchase")).collect()
        yield USER_TOTALS, self._swap(USER_TOTALS, users, totals)[0]

    def _windows(self, name: str, windows: Windows, size: timedelta) -> tuple[int, pl.DataFrame]:
        key = ["region", "window_start", "event_date"]
        keys = windows(self.purchases).select(key).unique()
        ends = (keys["window_start"] + size - timedelta(milliseconds=1)).dt.date()
        purchases = self._silver(pl.concat([keys["event_date"], ends]).unique())
        rows = windows(purchases).join(keys, key, "semi").group_by(key).agg(*_SUMS)
        return self._swap(name, keys, rows.with_columns(window_end=pl.col("window_start") + size))

    def _silver(self, days: pl.Series) -> pl.DataFrame:
        return (
            scan(self.settings, SOURCE, version=self.version)
            .filter(pl.col("event_date").is_in(days.to_list()))
            .select(*TOUCHED, "event_date", "amount_cents", "record_hash")
            .collect()
        )

    def _swap(self, name: str, keys: pl.DataFrame, rows: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        """Replaces the rows with these keys; returns the version and the content of the days that they lie on."""
        contract = table(name)
        opened = open_table(self.settings, name)
        current = scan_opened(self.settings, name, opened)
        once = Once.after(opened, self._app_id)
        days = keys["event_date"].unique().to_list() if contract.partition_by else []
        if days:
            current = current.filter(pl.col("event_date").is_in(days))
        kept = current.collect().join(keys, keys.columns, "anti")
        new = rows.with_columns(changed_by=pl.lit(self.changed_by)).select(contract.column_names)
        content = pl.concat([kept, new.cast(polars_schema(contract))])
        replacement = to_arrow(name, content)
        if days:
            version = replace_days(self.settings, name, days, replacement, once, self.metadata)
        else:
            version = replace_all(self.settings, name, replacement, once, self.metadata)
        return version, content

    def _acknowledge(self, name: str) -> int | None:
        """Records that `name` needs no change for this version of silver: silver having moved on and the table not,
        nobody could tell "nothing to do" from "not done"."""
        opened = open_table(self.settings, name)
        (newest,) = opened.history(1)
        said = json.loads(newest.get("userMetadata") or "{}")
        if said.get("silver_version") == self.metadata["silver_version"]:
            return None
        empty = pl.DataFrame(schema=polars_schema(table(name)))
        return append(self.settings, name, to_arrow(name, empty), Once.after(opened, self._app_id), self.metadata)
