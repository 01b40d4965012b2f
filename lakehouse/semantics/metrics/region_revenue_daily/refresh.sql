SELECT
    region,
    sum(purchases) AS purchases,
    checked_sum(revenue_cents) AS revenue_cents,
    sum(events) AS events,
    CAST(sum(fingerprint) AS DECIMAL(38, 0)) AS fingerprint,
    event_date
FROM {gold_region_revenue_5m}
GROUP BY region, event_date
