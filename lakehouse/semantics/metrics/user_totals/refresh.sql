SELECT
    user_id,
    sum(purchases) AS purchases,
    checked_sum(revenue_cents) AS revenue_cents,
    min(first_purchase) AS first_purchase,
    max(last_purchase) AS last_purchase,
    sum(events) AS events,
    CAST(sum(fingerprint) AS DECIMAL(38, 0)) AS fingerprint
FROM {gold_user_totals_daily}
GROUP BY user_id
