"""The speed layer's rows, by Polars, from the events after the cut and what the batch layer handed over.

A window or day gets what the batch layer's row lacks, to be added to it. A session is made whole: the batch layer's
sessions that new events reach are handed over as intervals with their sums, which is all that a merger needs.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from lakehouse.checked_sums import narrowed
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.contracts.tables import LAMBDA_EVENTS, table
from lakehouse.lambda_layers import speed_table
from lakehouse.semantics.metrics.product_metrics_5m.spec import RULE as PRODUCTS
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION

SCHEMA: Final = polars_schema(LAMBDA_EVENTS)
IDENTITY: Final = list(LAMBDA_EVENTS.key)
GAP: Final = pl.duration(milliseconds=SESSION.gap_ms)
_POSITION: Final = ["partition", "offset"]
_WINDOW: Final = timedelta(milliseconds=PRODUCTS.size_ms)


def first_of_each(records: pl.DataFrame) -> pl.DataFrame:
    """Of the records of one event, the one with the lowest (partition, offset)."""
    return records.sort(_POSITION).unique(IDENTITY, keep="first", maintain_order=True)


def counted(fresh: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`fresh` (one record per event) with a `weight` of 1, less those that the batch layer has counted (`known`).

    Where the batch layer counted a record from a higher (partition, offset), that one is taken back, by a weight of -1:
    this happens when a foreign producer spreads a key over partitions.
    """
    held = known.select(*IDENTITY, position=pl.struct(_POSITION))
    joined = fresh.join(held, IDENTITY, "left", maintain_order="left")
    lower = pl.struct(_POSITION).struct
    wins = pl.col("position").is_null() | (
        (lower.field("partition") < pl.col("position").struct.field("partition"))
        | (
            (lower.field("partition") == pl.col("position").struct.field("partition"))
            & (lower.field("offset") < pl.col("position").struct.field("offset"))
        )
    )
    new = joined.filter(wins).drop("position")
    displaced = known.join(new, IDENTITY, "semi")
    return pl.concat([frame.with_columns(weight=pl.lit(n, pl.Int64)) for frame, n in ((new, 1), (displaced, -1))])


def _sum(column: str | pl.Expr) -> pl.Expr:
    values = pl.col(column) if isinstance(column, str) else column
    return (values.cast(pl.Int64) * pl.col("weight")).sum()


_REVENUE: Final = narrowed((pl.col("amount_cents").cast(pl.Int128) * pl.col("weight")).sum())
_FINGERPRINT: Final = (pl.col("record_hash").cast(pl.Int128) * pl.col("weight")).sum()


def _shaped(metric: str, rows: pl.DataFrame) -> pl.DataFrame:
    schema = polars_schema(table(speed_table(metric)))
    return rows.select(schema.names()).cast(schema)


def product_metrics_5m(events: pl.DataFrame) -> pl.DataFrame:
    """What `events` (see `counted`) add to each product and window."""
    start = pl.col("event_time").dt.truncate(_WINDOW)
    rows = (
        events.filter(pl.col("product_id").is_not_null())
        .group_by("product_id", start.alias("window_start"), "event_date")
        .agg(
            impressions=_sum((pl.col("action") == "impression").fill_null(value=False)),
            clicks=_sum((pl.col("action") == "click").fill_null(value=False)),
            conversions=_sum(pl.col("topic") == PURCHASES.topic),
            revenue_cents=_REVENUE,
            events=pl.col("weight").sum(),
            fingerprint=_FINGERPRINT,
        )
    )
    return _shaped("product_metrics_5m", rows.with_columns(window_end=pl.col("window_start") + _WINDOW))


def region_revenue_daily(events: pl.DataFrame) -> pl.DataFrame:
    """What `events` (see `counted`) add to each region and day."""
    rows = (
        events.filter(pl.col("topic") == PURCHASES.topic)
        .group_by("region", "event_date")
        .agg(
            purchases=pl.col("weight").sum(),
            revenue_cents=_REVENUE,
            events=pl.col("weight").sum(),
            fingerprint=_FINGERPRINT,
        )
    )
    return _shaped("region_revenue_daily", rows)


def sessions(events: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
    """The sessions that `events` (see `counted`) touch, whole; `near`: the batch layer's that may be part of them."""
    time = pl.col("event_time")
    points = events.filter(pl.col("topic") == CLICKS.topic).select(
        "user_id",
        session_start=time,
        session_end=time,
        impressions=(pl.col("action") == "impression").cast(pl.Int64) * pl.col("weight"),
        clicks=(pl.col("action") == "click").cast(pl.Int64) * pl.col("weight"),
        events="weight",
        fingerprint=pl.col("record_hash").cast(pl.Int128) * pl.col("weight"),
        touched=pl.lit(value=True),
    )
    known = near.select(pl.exclude("duration_ms", "anomalous", "event_date")).with_columns(
        pl.col("fingerprint").cast(pl.Int128), touched=pl.lit(value=False)
    )
    spans = pl.concat([points, known.select(points.columns)]).sort("user_id", "session_start")
    reached = pl.col("session_end").cum_max().shift(1).over("user_id")
    begins = reached.is_null() | (pl.col("session_start") - reached >= GAP)
    duration = (pl.col("session_end") - pl.col("session_start")).dt.total_milliseconds()
    rows = (
        spans.with_columns(island=begins.cum_sum().over("user_id"))
        .group_by("user_id", "island")
        .agg(
            pl.col("session_start").min(),
            pl.col("session_end").max(),
            pl.col("impressions", "clicks", "events", "fingerprint").sum(),
            pl.col("touched").any(),
        )
        .filter("touched")
        .with_columns(duration_ms=duration, event_date=pl.col("session_start").dt.date())
        .with_columns(anomalous=(pl.col("events") > SESSION.long_events) | (pl.col("duration_ms") > SESSION.long_ms))
    )
    return _shaped("sessions", rows)
