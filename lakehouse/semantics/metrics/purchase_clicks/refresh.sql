-- The user's latest click on the product in the time before the purchase, both ends included.
WITH matched AS (
    SELECT
        p.user_id,
        p.event_id,
        p.event_time,
        c.event_time AS click_event_time,
        c.event_id AS click_event_id,
        c.record_hash AS click_hash,
        row_number() OVER (
            PARTITION BY p.user_id, p.event_id, p.event_time ORDER BY c.event_time DESC, c.event_id DESC
        ) AS place
    FROM {silver_clicks} c
    JOIN {silver_purchases} p
        ON c.user_id = p.user_id AND c.product_id = p.product_id
        AND c.event_time BETWEEN p.event_time - INTERVAL $reach_minutes MINUTES AND p.event_time
    WHERE c.action = 'click'
)
SELECT
    p.event_id,
    p.event_time,
    p.user_id,
    p.product_id,
    p.quantity,
    p.amount_cents,
    p.region,
    l.click_event_id,
    l.click_event_time,
    CAST(CASE WHEN l.user_id IS NULL THEN 1 ELSE 2 END AS BIGINT) AS events,
    CAST(p.record_hash AS DECIMAL(38, 0)) + coalesce(l.click_hash, CAST(0 AS BIGINT)) AS fingerprint,
    to_date(p.event_time) AS event_date
FROM {silver_purchases} p
LEFT JOIN matched l
    ON p.user_id = l.user_id AND p.event_id = l.event_id AND p.event_time = l.event_time AND l.place = 1
