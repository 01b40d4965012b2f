SELECT
    user_id,
    session_start,
    max(part_end) AS session_end,
    millis(max(part_end)) - millis(session_start) AS duration_ms,
    sum(impressions) AS impressions,
    sum(clicks) AS clicks,
    sum(events) > $long_events OR millis(max(part_end)) - millis(session_start) > $long_ms AS anomalous,
    sum(events) AS events,
    CAST(sum(fingerprint) AS DECIMAL(38, 0)) AS fingerprint,
    event_date
FROM {silver_session_parts}
GROUP BY user_id, session_start, event_date
