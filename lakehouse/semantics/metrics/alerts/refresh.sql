SELECT
    'ctr_anomaly' AS rule,
    product_id AS key,
    window_start,
    window_end,
    CAST(NULL AS STRING) AS event_id,
    CAST(NULL AS TIMESTAMP) AS event_time,
    events,
    fingerprint,
    event_date
FROM {gold_product_metrics_5m}
WHERE impressions >= $impressions AND 2 * clicks > impressions
UNION ALL
SELECT
    'anomalous_session', user_id, session_start, session_end, CAST(NULL AS STRING), CAST(NULL AS TIMESTAMP),
    events, fingerprint, event_date
FROM {silver_sessions}
WHERE anomalous
UNION ALL
SELECT
    'fraud_flagged', user_id, date_trunc('HOUR', event_time), date_trunc('HOUR', event_time) + INTERVAL 1 HOUR,
    event_id, event_time, events, fingerprint, event_date
FROM {gold_fraud_decisions}
WHERE flagged
UNION ALL
SELECT
    'fraud_blocked', user_id, date_trunc('HOUR', event_time), date_trunc('HOUR', event_time) + INTERVAL 1 HOUR,
    event_id, event_time, events, fingerprint, event_date
FROM {gold_fraud_decisions}
WHERE blocked
