"""`gold.fraud_decisions`, refreshed by Polars from the transactions that a micro-batch touched.

A transaction affects its user's transactions of the next two hours: they count it, or are blocked by one that does.
What is decided of those follows from the two hours before them.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from jobs.rust_engines.replacement import Replacement
from jobs.rust_engines.transactions import TABLE as SOURCE
from lakehouse.delta import scan
from lakehouse.semantics.metrics.fraud_decisions.spec import RULE

TABLE: Final = "gold.fraud_decisions"
TOUCHED: Final = ("user_id", "event_time")
"""What is to be known of a touched transaction."""

REACH: Final = timedelta(milliseconds=RULE.trigger_ms + RULE.block_ms)


def decide(transactions: pl.DataFrame) -> pl.DataFrame:
    """`transactions` with their decisions: right for those whose two hours before are among them.

    Counted are those in (t - 10 min, t] and (t - 1 h, t], up to itself in the order (event_time, event_id). A rolling
    window alone would count later ties; the first position in it is the same with and without them.
    """
    ordered = transactions.sort("user_id", "event_time", "event_id").with_columns(
        position=pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
    )

    def counted(window_ms: int) -> pl.Expr:
        window = timedelta(milliseconds=window_ms)
        first = pl.col("position").rolling_min_by("event_time", window, closed="right").over("user_id")
        return pl.col("position") - first + 1

    counts = ordered.with_columns(transactions_10m=counted(RULE.flag_ms), transactions_1h=counted(RULE.trigger_ms))
    is_trigger = pl.col("transactions_1h") >= RULE.trigger_count
    latest = pl.when(is_trigger).then("event_time").forward_fill().over("user_id")
    blocking = latest > pl.col("event_time") - timedelta(milliseconds=RULE.block_ms)
    return counts.with_columns(
        trigger_time=pl.when(blocking).then(latest),
        flagged=pl.col("transactions_10m") >= RULE.flag_count,
        blocked=blocking.fill_null(value=False),
    )


def with_sums(decided: pl.DataFrame) -> pl.DataFrame:
    """Each decision is made of one event, its own."""
    return decided.with_columns(events=pl.lit(1), fingerprint=pl.col("record_hash").cast(pl.Decimal(38, 0)))


def affected(rows: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that lie at or less than two hours after a touched transaction of their user."""
    times = touched.select(TOUCHED).unique().with_columns(touched_at="event_time").sort("event_time")
    latest = rows.sort("event_time").join_asof(times, on="event_time", by="user_id", check_sortedness=False)
    return latest.filter(pl.col("event_time") - pl.col("touched_at") < REACH).drop("touched_at")


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh. `touched`: transactions with the columns `TOUCHED`; `version`: that of silver which is read."""

    touched: pl.DataFrame
    version: int
    replacement: Replacement

    def run(self) -> int | None:
        """Returns the new version; None where nothing is touched and this version of silver was read already.

        Raises:
            TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
            CommitRefusedError: the store refused every attempt.
        """
        if self.touched.is_empty():
            return self.replacement.acknowledge(TABLE)
        transactions = self._transactions()
        rows = with_sums(affected(decide(transactions), self.touched))
        days = _days(self.touched, timedelta(), REACH)
        return self.replacement.swap(TABLE, days.to_list(), rows, self._kept)[0]

    def _transactions(self) -> pl.DataFrame:
        """Of the touched users, from two hours before what is touched to two hours after it."""
        times = self.touched["event_time"]
        low, high = times.min(), times.max()
        return (
            scan(self.replacement.settings, SOURCE, version=self.version)
            .filter(pl.col("event_date").is_in(_days(self.touched, -REACH, timedelta(), REACH).to_list()))
            .filter(pl.col("event_time").is_between(pl.lit(low) - REACH, pl.lit(high) + REACH))
            .join(self.touched.lazy().select("user_id").unique(), "user_id", "semi")
            .select("event_id", "event_time", "user_id", "amount_cents", "record_hash", "event_date")
            .collect()
        )

    def _kept(self, held: pl.DataFrame) -> pl.DataFrame:
        key = ["user_id", "event_id", "event_time"]
        return held.join(affected(held, self.touched), key, "anti")


def _days(touched: pl.DataFrame, *shifts: timedelta) -> pl.Series:
    """The days of the touched times, moved by each of `shifts`."""
    return pl.concat([(touched["event_time"] + shift).dt.date() for shift in shifts]).unique().sort()
