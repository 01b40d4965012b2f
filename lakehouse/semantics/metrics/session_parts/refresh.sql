-- A session begins where no event of the user lies less than the gap before. Its parts are counted from its first.
WITH begun AS (
    SELECT
        user_id,
        event_time,
        action,
        record_hash,
        CASE
            WHEN event_time < lag(event_time) OVER (PARTITION BY user_id ORDER BY event_time) + INTERVAL $gap_minutes MINUTES
            THEN NULL ELSE event_time
        END AS begins
    FROM {silver_clicks}
),
members AS (
    SELECT
        *,
        max(begins) OVER (
            PARTITION BY user_id ORDER BY event_time RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS session_start
    FROM begun
),
numbered AS (
    SELECT
        *,
        CAST(floor((millis(event_time) - millis(session_start)) / CAST($part_ms AS DOUBLE)) AS INT) AS part,
        CAST(action = 'impression' AS INT) AS impression
    FROM members
)
SELECT
    user_id,
    session_start,
    part,
    min(event_time) AS part_start,
    max(event_time) AS part_end,
    sum(impression) AS impressions,
    count(*) - sum(impression) AS clicks,
    count(*) AS events,
    fingerprint(record_hash) AS fingerprint,
    to_date(session_start) AS event_date
FROM numbered
GROUP BY user_id, session_start, part
