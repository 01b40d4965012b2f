"""`gold.user_totals_daily`: purchases per user and UTC day; `gold.user_totals` rolls it up."""

from typing import Final

from jobs.streaming.spark.metrics.windowed import Metric

_PURCHASES: Final = """
SELECT user_id, to_date(event_time) AS event_date, event_time, amount_cents, record_hash FROM {events}
"""

_ROWS: Final = """
SELECT
    user_id,
    count(*) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    min(event_time) AS first_purchase,
    max(event_time) AS last_purchase,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    event_date
FROM {keyed}
GROUP BY user_id, event_date
"""

METRIC: Final = Metric(
    table="gold.user_totals_daily",
    key=("user_id", "event_date"),
    keyed={"silver.purchases": _PURCHASES},
    rows=_ROWS,
)
