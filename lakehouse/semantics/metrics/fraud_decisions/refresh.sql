-- A range counts ties that come later in the order, so what is counted is a position less what lies at or before the
-- window's far edge, of which ties are on one side.
WITH counted AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY user_id ORDER BY event_time, event_id) AS position,
        count(*) OVER (
            PARTITION BY user_id ORDER BY millis(event_time) RANGE BETWEEN UNBOUNDED PRECEDING AND $flag_ms PRECEDING
        ) AS before_10m,
        count(*) OVER (
            PARTITION BY user_id ORDER BY millis(event_time) RANGE BETWEEN UNBOUNDED PRECEDING AND $trigger_ms PRECEDING
        ) AS before_1h
    FROM {silver_transactions}
),
triggered AS (
    SELECT
        *,
        max(CASE WHEN position - before_1h >= $trigger_count THEN event_time END) OVER (
            PARTITION BY user_id ORDER BY event_time, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS latest
    FROM counted
)
SELECT
    event_id,
    event_time,
    user_id,
    amount_cents,
    position - before_10m AS transactions_10m,
    position - before_1h AS transactions_1h,
    CASE WHEN latest > event_time - INTERVAL $block_minutes MINUTES THEN latest END AS trigger_time,
    position - before_10m >= $flag_count AS flagged,
    coalesce(latest > event_time - INTERVAL $block_minutes MINUTES, false) AS blocked,
    CAST(1 AS BIGINT) AS events,
    CAST(record_hash AS DECIMAL(38, 0)) AS fingerprint,
    to_date(event_time) AS event_date
FROM triggered
