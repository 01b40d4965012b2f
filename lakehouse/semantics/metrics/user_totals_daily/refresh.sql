SELECT
    user_id,
    count(*) AS purchases,
    checked_sum(amount_cents) AS revenue_cents,
    min(event_time) AS first_purchase,
    max(event_time) AS last_purchase,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    to_date(event_time) AS event_date
FROM {silver_purchases}
GROUP BY user_id, to_date(event_time)
