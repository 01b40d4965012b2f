"""What events touch of `silver.purchase_clicks`.

A purchase affects its own row; a click those of the user's purchases of the product up to 5 minutes later.
"""

from string import Template
from typing import Final

from lakehouse.semantics.metrics.purchase_clicks.spec import RULE as ATTRIBUTION

TABLE: Final = "silver.purchase_clicks"
KEY: Final = ("user_id", "event_id", "event_time")

TOUCHED: Final = Template("""
SELECT user_id, product_id, event_time AS earliest, event_time AS latest FROM {purchases}
UNION ALL
SELECT user_id, product_id, event_time, event_time + INTERVAL $reach_minutes MINUTES
FROM {clicks}
WHERE action = 'click' AND product_id IS NOT NULL
""").substitute(ATTRIBUTION.numbers())

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
