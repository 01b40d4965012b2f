"""`marts.product_daily`: per product and UTC day the sums of `gold.product_metrics_5m`, with the attributes of
the product version that was valid in the day's last millisecond."""

from datetime import date
from typing import Final

import polars as pl
import pyarrow as pa

from jobs.rust_engines.days import last_millisecond
from jobs.rust_engines.sources import Sources
from lakehouse.checked_sums import checked_sum

SQL: Final = """
WITH sums AS (
    SELECT
        event_date,
        product_id,
        sum(impressions) AS impressions,
        sum(clicks) AS clicks,
        sum(conversions) AS conversions,
        checked_sum(revenue_cents) AS revenue_cents,
        sum(events) AS events,
        sum(fingerprint) AS fingerprint
    FROM gold_product_metrics_5m
    WHERE event_date = DATE '{day}'
    GROUP BY event_date, product_id
),
valid AS (
    SELECT product_id, category, brand
    FROM silver_products
    WHERE valid_from <= TIMESTAMP '{last}' AND (valid_to IS NULL OR TIMESTAMP '{last}' < valid_to)
)
SELECT
    event_date,
    product_id,
    impressions,
    clicks,
    conversions,
    revenue_cents,
    CASE WHEN impressions > 0 THEN CAST(clicks AS DOUBLE) / CAST(impressions AS DOUBLE) END AS ctr,
    category,
    brand,
    events,
    fingerprint
FROM sums
LEFT JOIN valid USING (product_id)
"""


def by_datafusion(sources: Sources, day: date) -> pa.Table:
    return sources.query(SQL.format(day=day.isoformat(), last=last_millisecond(day).isoformat()))


def by_polars(sources: Sources, day: date) -> pl.LazyFrame:
    sums = (
        sources.scan("gold.product_metrics_5m", day)
        .group_by("event_date", "product_id")
        .agg(pl.sum("impressions", "clicks", "conversions", "events", "fingerprint"), checked_sum("revenue_cents"))
        .with_columns(
            ctr=pl.when(pl.col("impressions") > 0).then(
                pl.col("clicks").cast(pl.Float64) / pl.col("impressions").cast(pl.Float64)
            )
        )
    )
    last = pl.lit(last_millisecond(day), pl.Datetime("us", "UTC"))
    valid = (
        sources.scan("silver.products")
        .filter(pl.col("valid_from") <= last, pl.col("valid_to").is_null() | (last < pl.col("valid_to")))
        .select("product_id", "category", "brand")
    )
    return sums.join(valid, on="product_id", how="left")
