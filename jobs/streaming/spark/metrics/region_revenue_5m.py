"""`gold.region_revenue_5m`: purchases and revenue per region and 5 minutes; the daily table rolls it up."""

from typing import Final

from jobs.streaming.spark.metrics.windowed import Metric

_PURCHASES: Final = """
SELECT
    region,
    window(event_time, '5 minutes').start AS window_start,
    to_date(event_time) AS event_date,
    amount_cents,
    record_hash
FROM {events}
"""

_ROWS: Final = """
SELECT
    region,
    window_start,
    window_start + INTERVAL 5 MINUTES AS window_end,
    count(*) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    event_date
FROM {keyed}
GROUP BY region, window_start, event_date
"""

METRIC: Final = Metric(
    table="gold.region_revenue_5m",
    key=("region", "window_start", "event_date"),
    keyed={"silver.purchases": _PURCHASES},
    rows=_ROWS,
    window_minutes=5,
)
