"""`gold.region_revenue_daily`: purchases and revenue per region and UTC day, from the 5-minute rows."""

from typing import Final

from jobs.streaming.spark.metrics.windowed import Metric

_ROWS: Final = """
SELECT
    region,
    sum(purchases) AS purchases,
    checked_sum(revenue_cents) AS revenue_cents,
    sum(events) AS events,
    CAST(sum(fingerprint) AS DECIMAL(38, 0)) AS fingerprint,
    event_date
FROM {keyed}
GROUP BY region, event_date
"""

METRIC: Final = Metric(
    table="gold.region_revenue_daily",
    key=("region", "event_date"),
    keyed={"gold.region_revenue_5m": "SELECT * FROM {events}"},
    rows=_ROWS,
)
