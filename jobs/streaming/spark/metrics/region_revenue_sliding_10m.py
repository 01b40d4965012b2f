"""`gold.region_revenue_sliding_10m`: purchases and revenue per region and 10 minutes, one row each minute.

A purchase counts in ten windows; a window that begins before midnight has the earlier day's date.
"""

from typing import Final

from jobs.streaming.spark.metrics.windowed import Metric

_PURCHASES: Final = """
SELECT region, span.start AS window_start, to_date(span.start) AS event_date, amount_cents, record_hash
FROM (
    SELECT region, window(event_time, '10 minutes', '1 minute') AS span, amount_cents, record_hash FROM {events}
)
"""

_ROWS: Final = """
SELECT
    region,
    window_start,
    window_start + INTERVAL 10 MINUTES AS window_end,
    count(*) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    event_date
FROM {keyed}
GROUP BY region, window_start, event_date
"""

METRIC: Final = Metric(
    table="gold.region_revenue_sliding_10m",
    key=("region", "window_start", "event_date"),
    keyed={"silver.purchases": _PURCHASES},
    rows=_ROWS,
    window_minutes=10,
)
