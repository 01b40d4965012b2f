"""One seeded day of silver and gold tables, written through delta-rs: what marts and expectations are measured on."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings

DAY: Final = date(2024, 3, 1)
PRODUCTS: Final = 10_000
USERS: Final = 50_000
_MIDNIGHT: Final = datetime(2024, 3, 1, tzinfo=UTC)
_MS_PER_DAY: Final = 86_400_000


def write_day(settings: Settings, clicks: int, seed: int) -> dict[str, int]:
    """Writes the day; returns the rows of each table. Products sell by a Zipf law, purchases are a hundredth."""
    draw = np.random.default_rng(seed)
    frames = {
        "silver.clicks": _clicks(draw, clicks),
        "silver.purchases": _purchases(draw, max(1, clicks // 100)),
        "silver.products": _products(),
    }
    frames["silver.sessions"] = _sessions(frames["silver.clicks"])
    frames["gold.product_metrics_5m"] = _product_metrics(frames["silver.clicks"], frames["silver.purchases"])
    for name, frame in frames.items():
        append(settings, name, to_arrow(name, frame.cast(polars_schema(table(name)))), Once(f"bench/{name}"))
    return {name: frame.height for name, frame in frames.items()}


def _events(draw: np.random.Generator, topic: str, rows: int) -> pl.DataFrame:
    products = np.minimum(draw.zipf(1.2, rows), PRODUCTS)
    millisecond = pl.Series(draw.integers(0, _MS_PER_DAY, rows)).sort()
    time = (_MIDNIGHT + pl.duration(milliseconds=pl.lit(millisecond))).dt.cast_time_unit("us")
    return pl.DataFrame(
        {
            "user": draw.integers(0, USERS, rows),
            "product": products,
            "region": draw.choice(["north", "south", "east", "west", "süd"], rows),
            "partition": draw.integers(0, 6, rows),
            "record_hash": draw.integers(0, 1 << 60, rows),
        }
    ).select(
        pl.format("event-{}", pl.int_range(rows)).alias("event_id"),
        time.alias("event_time"),
        pl.format("user-{}", "user").alias("user_id"),
        pl.format("product-{}", "product").alias("product_id"),
        "region",
        pl.lit(topic).alias("topic"),
        "partition",
        pl.int_range(rows).alias("offset"),
        time.alias("arrival"),
        "record_hash",
        pl.lit("kitchen").alias("category"),
        pl.lit("acme").alias("brand"),
        pl.lit(100).alias("price_cents"),
        pl.lit(_MIDNIGHT).alias("product_valid_from"),
        pl.lit(DAY).alias("event_date"),
    )


def _clicks(draw: np.random.Generator, rows: int) -> pl.DataFrame:
    action = draw.choice(["impression", "click"], rows, p=[0.9, 0.1])
    return _events(draw, "shop.clicks", rows).with_columns(action=pl.Series(action), page=pl.lit("/shop"))


def _purchases(draw: np.random.Generator, rows: int) -> pl.DataFrame:
    cents = pl.Series(draw.integers(100, 50_000, rows))
    return _events(draw, "shop.purchases", rows).with_columns(quantity=1, amount_cents=cents, currency=pl.lit("EUR"))


def _products() -> pl.DataFrame:
    """Two versions of each, the second from noon on."""
    noon = _MIDNIGHT + timedelta(hours=12)
    ids = pl.DataFrame({"product_id": [f"product-{n}" for n in range(1, PRODUCTS + 1)]})
    first = ids.with_columns(valid_from=pl.lit(_MIDNIGHT), valid_to=pl.lit(noon), category=pl.lit("kitchen"))
    second = ids.with_columns(
        valid_from=noon, valid_to=pl.lit(None, pl.Datetime("us", "UTC")), category=pl.lit("garden")
    )
    versions = pl.concat([first, second])
    return versions.with_columns(
        event_id=pl.format("version-{}", pl.int_range(pl.len())),
        event_time=pl.lit(_MIDNIGHT),
        brand=pl.lit("acme"),
        price_cents=100,
        topic=pl.lit("shop.products"),
        partition=0,
        offset=pl.int_range(pl.len()),
        arrival=pl.lit(_MIDNIGHT),
        record_hash=pl.int_range(pl.len()),
    )


def _product_metrics(clicks: pl.DataFrame, purchases: pl.DataFrame) -> pl.DataFrame:
    happened = pl.concat([clicks, purchases.with_columns(action=pl.lit("purchase"))], how="diagonal")
    window = pl.col("event_time").dt.truncate("5m")
    counts = happened.group_by("product_id", window.alias("window_start")).agg(
        impressions=(pl.col("action") == "impression").sum(),
        clicks=(pl.col("action") == "click").sum(),
        conversions=(pl.col("action") == "purchase").sum(),
        revenue_cents=pl.col("amount_cents").sum(),
        events=pl.len(),
        fingerprint=pl.col("record_hash").cast(pl.Decimal(38, 0)).sum(),
    )
    return counts.with_columns(
        window_end=pl.col("window_start") + timedelta(minutes=5),
        ctr=pl.when(pl.col("impressions") > 0).then(
            pl.col("clicks").cast(pl.Float64) / pl.col("impressions").cast(pl.Float64)
        ),
        changed_by=pl.lit("benchmark"),
        event_date=pl.lit(DAY),
    )


def _sessions(clicks: pl.DataFrame) -> pl.DataFrame:
    """Each user's events of the day, cut at gaps of 30 minutes."""
    apart = pl.col("event_time").diff() >= timedelta(minutes=30)
    ordered = clicks.sort("user_id", "event_time")
    numbered = ordered.with_columns(session=apart.fill_null(True).cum_sum().over("user_id"))
    return (
        numbered.group_by("user_id", "session")
        .agg(
            session_start=pl.min("event_time"),
            session_end=pl.max("event_time"),
            impressions=(pl.col("action") == "impression").sum(),
            clicks=(pl.col("action") == "click").sum(),
            events=pl.len(),
            fingerprint=pl.col("record_hash").cast(pl.Decimal(38, 0)).sum(),
        )
        .with_columns(
            duration_ms=(pl.col("session_end") - pl.col("session_start")).dt.total_milliseconds(),
            anomalous=pl.lit(False),
            event_date=pl.lit(DAY),
        )
    )
