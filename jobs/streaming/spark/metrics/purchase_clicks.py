"""What events touch of `silver.purchase_clicks`.

A purchase affects its own row; a click those of the user's purchases of the product up to 5 minutes later.
"""

from typing import Final

TABLE: Final = "silver.purchase_clicks"
KEY: Final = ("user_id", "event_id", "event_time")
REACH_MINUTES: Final = 5

TOUCHED: Final = """
SELECT user_id, product_id, event_time AS earliest, event_time AS latest FROM {purchases}
UNION ALL
SELECT user_id, product_id, event_time, event_time + INTERVAL 5 MINUTES
FROM {clicks}
WHERE action = 'click' AND product_id IS NOT NULL
"""

AFFECTED: Final = """
SELECT /*+ BROADCAST(t) */ p.event_id, p.event_time, p.user_id, p.product_id, p.quantity, p.amount_cents, p.region,
    p.record_hash, p.event_date
FROM {purchases} p
LEFT SEMI JOIN {touched} t
    ON p.user_id = t.user_id AND p.product_id = t.product_id AND p.event_time BETWEEN t.earliest AND t.latest
"""

KEYS: Final = """
SELECT user_id, event_id, event_time, event_date FROM {affected}
UNION ALL
SELECT user_id, event_id, event_time, to_date(event_time) FROM {purchases}
"""
