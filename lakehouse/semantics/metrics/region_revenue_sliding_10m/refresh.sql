-- A purchase counts in ten windows; one that begins before midnight has the earlier day's date.
WITH counted AS (
    SELECT p.region, window_start(p.event_time, 1) - b.back AS window_start, p.amount_cents, p.record_hash
    FROM {silver_purchases} p
    CROSS JOIN (
        VALUES
            (INTERVAL '0' MINUTE), (INTERVAL '1' MINUTE), (INTERVAL '2' MINUTE), (INTERVAL '3' MINUTE),
            (INTERVAL '4' MINUTE), (INTERVAL '5' MINUTE), (INTERVAL '6' MINUTE), (INTERVAL '7' MINUTE),
            (INTERVAL '8' MINUTE), (INTERVAL '9' MINUTE)
    ) AS b(back)
)
SELECT
    region,
    window_start,
    window_start + INTERVAL 10 MINUTES AS window_end,
    count(*) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    to_date(window_start) AS event_date
FROM counted
GROUP BY region, window_start
