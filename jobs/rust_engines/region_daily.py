"""`marts.region_daily`: per region and UTC day purchases, revenue, clicks, impressions and distinct users."""

from datetime import date
from typing import Final

import polars as pl
import pyarrow as pa

from jobs.rust_engines.sources import Sources
from lakehouse.checked_sums import checked_sum

# Hashes are cast before they are summed: a sum of 60-bit integers overflows 64 bits after a few rows.
SQL: Final = """
WITH happened AS (
    SELECT
        event_date,
        region,
        user_id,
        0 AS purchase,
        0 AS amount_cents,
        CASE WHEN action = 'click' THEN 1 ELSE 0 END AS click,
        CASE WHEN action = 'impression' THEN 1 ELSE 0 END AS impression,
        record_hash
    FROM silver_clicks
    WHERE event_date = DATE '{day}'
    UNION ALL
    SELECT event_date, region, user_id, 1, amount_cents, 0, 0, record_hash
    FROM silver_purchases
    WHERE event_date = DATE '{day}'
)
SELECT
    event_date,
    region,
    sum(purchase) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    sum(click) AS clicks,
    sum(impression) AS impressions,
    count(DISTINCT user_id) AS distinct_users,
    count(*) AS events,
    sum(CAST(record_hash AS DECIMAL(38, 0))) AS fingerprint
FROM happened
GROUP BY event_date, region
"""


def by_datafusion(sources: Sources, day: date) -> pa.Table:
    return sources.query(SQL.format(day=day.isoformat()))


def by_polars(sources: Sources, day: date) -> pl.LazyFrame:
    shared = ("event_date", "region", "user_id", "record_hash")
    clicks = sources.scan("silver.clicks", day).select(*shared, "action", amount_cents=pl.lit(0, pl.Int64))
    purchases = sources.scan("silver.purchases", day).select(*shared, "amount_cents", action=pl.lit("purchase"))
    action = pl.col("action")
    return (
        pl.concat([clicks, purchases], how="diagonal")
        .group_by("event_date", "region")
        .agg(
            purchases=(action == "purchase").sum(),
            revenue_cents=checked_sum("amount_cents"),
            clicks=(action == "click").sum(),
            impressions=(action == "impression").sum(),
            distinct_users=pl.col("user_id").n_unique(),
            events=pl.len(),
            fingerprint=pl.col("record_hash").cast(pl.Decimal(38, 0)).sum(),
        )
    )
