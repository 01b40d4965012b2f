"""`gold.user_totals`: all purchases of a user, from the daily rows."""

from typing import Final

from jobs.streaming.spark.metrics.windowed import Metric

_ROWS: Final = """
SELECT
    user_id,
    sum(purchases) AS purchases,
    checked_sum(revenue_cents) AS revenue_cents,
    min(first_purchase) AS first_purchase,
    max(last_purchase) AS last_purchase,
    sum(events) AS events,
    CAST(sum(fingerprint) AS DECIMAL(38, 0)) AS fingerprint
FROM {keyed}
GROUP BY user_id
"""

METRIC: Final = Metric(
    table="gold.user_totals",
    key=("user_id",),
    keyed={"gold.user_totals_daily": "SELECT * FROM {events}"},
    rows=_ROWS,
)
