"""`silver.purchase_clicks`: the user's latest click on the bought product within the 5 minutes before.

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

ROWS: Final = """
WITH latest AS (
    SELECT /*+ BROADCAST(p) */
        p.user_id, p.event_id, p.event_time, max(struct(c.event_time, c.event_id, c.record_hash)) AS click
    FROM {clicks} c
    JOIN {affected} p
        ON c.user_id = p.user_id AND c.product_id = p.product_id
        AND c.event_time BETWEEN p.event_time - INTERVAL 5 MINUTES AND p.event_time
    WHERE c.action = 'click'
    GROUP BY p.user_id, p.event_id, p.event_time
)
SELECT
    p.event_id,
    p.event_time,
    p.user_id,
    p.product_id,
    p.quantity,
    p.amount_cents,
    p.region,
    l.click.event_id AS click_event_id,
    l.click.event_time AS click_event_time,
    CAST(IF(l.click IS NULL, 1, 2) AS BIGINT) AS events,
    CAST(p.record_hash AS DECIMAL(38, 0)) + coalesce(l.click.record_hash, 0L) AS fingerprint,
    p.event_date
FROM {affected} p
LEFT JOIN latest l ON p.user_id = l.user_id AND p.event_id = l.event_id AND p.event_time = l.event_time
"""
