"""`silver.sessions` and `silver.session_parts`: a user's clicks and impressions less than 30 minutes apart.

The scope is found without reading a user's history: existing sessions are intervals, new events are points,
and what lies less than the gap apart belongs together. Each resulting island with a new event in it is one
session, whose rows are computed anew from its events.
"""

from typing import Final

SESSIONS: Final = "silver.sessions"
PARTS: Final = "silver.session_parts"
GAP_MINUTES: Final = 30
IDENTITY: Final = ("user_id", "event_id", "event_time")

ISLANDS: Final = """
WITH intervals AS (
    SELECT user_id, event_time AS first, event_time AS last, 1 AS touched FROM {points}
    UNION ALL
    SELECT user_id, session_start, session_end, 0 FROM {known}
),
reached AS (
    SELECT
        *,
        max(last) OVER (
            PARTITION BY user_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached
    FROM intervals
),
numbered AS (
    SELECT
        *,
        sum(CASE WHEN first < reached + INTERVAL 30 MINUTES THEN 0 ELSE 1 END) OVER (
            PARTITION BY user_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island
    FROM reached
)
SELECT
    user_id,
    min(first) AS island_start,
    max(last) AS island_end,
    array_union(
        array(to_date(min(first))), collect_set(CASE WHEN touched = 0 THEN to_date(first) END)
    ) AS dates
FROM numbered
GROUP BY user_id, island
HAVING max(touched) = 1
"""
"""``{points}``: events (user_id, event_time); ``{known}``: sessions that may lie near them. `dates` are those
of the island and of the sessions that it absorbs."""

PART_ROWS: Final = """
WITH members AS (
    SELECT /*+ BROADCAST(i) */
        c.user_id,
        i.island_start AS session_start,
        CAST((unix_millis(c.event_time) - unix_millis(i.island_start)) DIV 14400000 AS INT) AS part,
        c.event_time,
        CAST(c.action = 'impression' AS INT) AS impression,
        c.record_hash
    FROM {clicks} c
    JOIN {islands} i ON c.user_id = i.user_id AND c.event_time BETWEEN i.island_start AND i.island_end
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
FROM members
GROUP BY user_id, session_start, part
"""

SESSION_ROWS: Final = """
SELECT
    user_id,
    session_start,
    max(part_end) AS session_end,
    unix_millis(max(part_end)) - unix_millis(session_start) AS duration_ms,
    sum(impressions) AS impressions,
    sum(clicks) AS clicks,
    sum(events) > 1000 OR unix_millis(max(part_end)) - unix_millis(session_start) > 14400000 AS anomalous,
    sum(events) AS events,
    CAST(sum(fingerprint) AS DECIMAL(38, 0)) AS fingerprint,
    event_date
FROM {parts}
GROUP BY user_id, session_start, event_date
"""

INSIDE: Final = """
SELECT /*+ BROADCAST(s) */ c.user_id, c.event_time
FROM {clicks} c
LEFT SEMI JOIN {sessions} s ON c.user_id = s.user_id AND c.event_time BETWEEN s.session_start AND s.session_end
"""
"""The clicks that sessions are made of."""

OUTSIDE: Final = """
SELECT /*+ BROADCAST(i) */ r.*
FROM {rows} r
LEFT ANTI JOIN (
    SELECT user_id, island_start, island_end FROM {islands}
    UNION ALL
    SELECT user_id, session_start, session_end FROM {sessions}
) i
    ON r.user_id = i.user_id AND r.session_start BETWEEN i.island_start AND i.island_end
"""
"""Rows of either table that stay: those not absorbed by an island, by whatever start they had in it, and of none of the
``{sessions}`` that are cut anew."""
