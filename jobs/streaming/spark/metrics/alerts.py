"""`gold.alerts`: what is true of the rows of other tables; for a rebuild, as the stream has Polars."""

from typing import Final

TABLE: Final = "gold.alerts"

ROWS: Final = """
SELECT
    'ctr_anomaly' AS rule, product_id AS key, window_start, window_end,
    CAST(NULL AS STRING) AS event_id, CAST(NULL AS TIMESTAMP) AS event_time, events, fingerprint, event_date
FROM {windows}
WHERE impressions >= 20 AND 2 * clicks > impressions
UNION ALL
SELECT
    'anomalous_session', user_id, session_start, session_end,
    CAST(NULL AS STRING), CAST(NULL AS TIMESTAMP), events, fingerprint, event_date
FROM {sessions}
WHERE anomalous
UNION ALL
SELECT
    rule, user_id, date_trunc('HOUR', event_time), date_trunc('HOUR', event_time) + INTERVAL 1 HOUR,
    event_id, event_time, events, fingerprint, event_date
FROM {decisions}
LATERAL VIEW explode(
    array_compact(array(IF(flagged, 'fraud_flagged', NULL), IF(blocked, 'fraud_blocked', NULL)))
) rules AS rule
"""
