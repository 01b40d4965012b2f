-- Clicks without a product are left out. Conversions are the purchases with event time in the window.
WITH counted AS (
    SELECT
        product_id,
        window_start(event_time, $size_minutes) AS window_start,
        CAST(action = 'impression' AS INT) AS impression,
        CAST(action = 'click' AS INT) AS click,
        0 AS conversion,
        CAST(0 AS BIGINT) AS amount_cents,
        record_hash
    FROM {silver_clicks}
    WHERE product_id IS NOT NULL
    UNION ALL
    SELECT product_id, window_start(event_time, $size_minutes), 0, 0, 1, amount_cents, record_hash
    FROM {silver_purchases}
)
SELECT
    product_id,
    window_start,
    window_start + INTERVAL $size_minutes MINUTES AS window_end,
    sum(impression) AS impressions,
    sum(click) AS clicks,
    sum(conversion) AS conversions,
    checked_sum(amount_cents) AS revenue_cents,
    CASE WHEN sum(impression) > 0 THEN CAST(sum(click) AS DOUBLE) / CAST(sum(impression) AS DOUBLE) END AS ctr,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    to_date(window_start) AS event_date
FROM counted
GROUP BY product_id, window_start
