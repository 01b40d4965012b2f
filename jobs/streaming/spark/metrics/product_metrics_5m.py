"""`gold.product_metrics_5m`: impressions, clicks, conversions, revenue and CTR per product and 5 minutes.

Clicks without a product are left out. Conversions are the purchases with event time in the window.
"""

from typing import Final

from jobs.streaming.spark.metrics.windowed import Metric

_CLICKS: Final = """
SELECT
    product_id,
    window(event_time, '5 minutes').start AS window_start,
    to_date(event_time) AS event_date,
    CAST(action = 'impression' AS INT) AS impression,
    CAST(action = 'click' AS INT) AS click,
    0 AS conversion,
    0L AS amount_cents,
    record_hash
FROM {events}
WHERE product_id IS NOT NULL
"""

_PURCHASES: Final = """
SELECT
    product_id,
    window(event_time, '5 minutes').start AS window_start,
    to_date(event_time) AS event_date,
    0 AS impression,
    0 AS click,
    1 AS conversion,
    amount_cents,
    record_hash
FROM {events}
"""

_ROWS: Final = """
SELECT
    product_id,
    window_start,
    window_start + INTERVAL 5 MINUTES AS window_end,
    sum(impression) AS impressions,
    sum(click) AS clicks,
    sum(conversion) AS conversions,
    checked_sum(amount_cents) AS revenue_cents,
    CASE WHEN sum(impression) > 0 THEN CAST(sum(click) AS DOUBLE) / CAST(sum(impression) AS DOUBLE) END AS ctr,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    event_date
FROM {keyed}
GROUP BY product_id, window_start, event_date
"""

METRIC: Final = Metric(
    table="gold.product_metrics_5m",
    key=("product_id", "window_start", "event_date"),
    keyed={"silver.clicks": _CLICKS, "silver.purchases": _PURCHASES},
    rows=_ROWS,
    window_minutes=5,
)
