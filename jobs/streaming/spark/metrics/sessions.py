"""What events touch of `silver.sessions` and `silver.session_parts`, found without reading a user's history.

Existing sessions are intervals, events are points, and what lies less than the gap apart belongs together. Sessions are
cut anew from the events of each resulting island with such an event in it, be it one that is gone: what it had held
together falls apart.
"""

from string import Template
from typing import Final

from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION

SESSIONS: Final = "silver.sessions"
PARTS: Final = "silver.session_parts"

ISLANDS: Final = Template("""
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
        sum(CASE WHEN first < reached + INTERVAL $gap_minutes MINUTES THEN 0 ELSE 1 END) OVER (
            PARTITION BY user_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island
    FROM reached
)
SELECT
    user_id,
    min(first) AS island_start,
    max(last) AS island_end,
    sequence(to_date(min(first)), to_date(max(last))) AS dates
FROM numbered
GROUP BY user_id, island
HAVING max(touched) = 1
""").substitute(SESSION.numbers())
"""``{points}``: events (user_id, event_time); ``{known}``: sessions that may lie near them. `dates`: on which a session
of the island may begin."""

INSIDE: Final = """
SELECT /*+ BROADCAST(i) */ c.*
FROM {clicks} c
LEFT SEMI JOIN {islands} i ON c.user_id = i.user_id AND c.event_time BETWEEN i.island_start AND i.island_end
"""
"""The clicks from which sessions are cut anew: all of each session, as the next one begins a gap later."""

OUTSIDE: Final = """
SELECT /*+ BROADCAST(i) */ r.*
FROM {rows} r
LEFT ANTI JOIN {islands} i ON r.user_id = i.user_id AND r.session_start BETWEEN i.island_start AND i.island_end
"""
"""Rows of either table that stay."""
