WITH counted AS (
    SELECT region, window_start(event_time, $size_minutes) AS window_start, amount_cents, record_hash FROM {silver_purchases}
)
SELECT
    region,
    window_start,
    window_start + INTERVAL $size_minutes MINUTES AS window_end,
    count(*) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    to_date(window_start) AS event_date
FROM counted
GROUP BY region, window_start
