-- A purchase counts in several windows; one that begins before midnight has the earlier day's date.
WITH counted AS (
    SELECT p.region, window_start(p.event_time, $every_minutes) - b.back AS window_start, p.amount_cents, p.record_hash
    FROM {silver_purchases} p
    CROSS JOIN (VALUES $starts) AS b(back)
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
