"""Submits the live dashboard to the Flink session cluster.

Kafka -> one validator -> each event once -> windows per product, current sessions and CTR anomalies -> Kafka.
SQL reads, validates and writes; what it cannot do exactly is `io.kappalakehouse.flink.live` in ``connectors/``.
"""

from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.settings import Settings, load_settings

JOB: Final = "live_dashboard"

# The event stays one column: taking its fields apart here would validate once per field.
VALIDATED: Final = """
CREATE TEMPORARY VIEW validated_{name} AS
SELECT
  `partition`,
  `offset`,
  record_hash('shop.{name}', `partition`, `offset`, `value`) AS record_hash,
  validate_{name}(`key`, `value`, arrival) AS event
FROM {name}
"""

PRODUCT_WINDOW_COLUMNS: Final = """
  `table` STRING, generation BIGINT, seq BIGINT,
  product_id STRING, window_start BIGINT, window_end BIGINT,
  impressions BIGINT, clicks BIGINT, conversions BIGINT, revenue_cents BIGINT, ctr DOUBLE,
  events BIGINT, fingerprint STRING
"""
WRITE_PRODUCT_WINDOWS: Final = """
INSERT INTO dashboard_product_windows
SELECT
  'product_metrics_5m/' || CAST(windowStart AS STRING) || '/' || productId,
  'product_metrics_5m', {generation}, seq,
  productId, windowStart, windowEnd,
  impressions, clicks, conversions, revenueCents,
  CASE WHEN impressions > 0 THEN CAST(clicks AS DOUBLE) / CAST(impressions AS DOUBLE) END,
  events, fingerprint
FROM product_windows
"""

CURRENT_SESSION_COLUMNS: Final = """
  `table` STRING, generation BIGINT, seq BIGINT,
  user_id STRING, session_start BIGINT, session_end BIGINT, duration_ms BIGINT,
  impressions BIGINT, clicks BIGINT, anomalous BOOLEAN,
  events BIGINT, fingerprint STRING
"""
WRITE_CURRENT_SESSIONS: Final = """
INSERT INTO dashboard_current_sessions
SELECT
  'current_sessions/' || userId,
  'current_sessions', {generation}, seq,
  userId, sessionStart, sessionEnd, sessionEnd - sessionStart,
  impressions, clicks, anomalous,
  events, fingerprint
FROM current_sessions
"""

ALERT_COLUMNS: Final = """
  `rule` STRING, product_id STRING, window_start BIGINT, window_end BIGINT, state STRING,
  impressions BIGINT, clicks BIGINT, events BIGINT, dedup_key STRING
"""
WRITE_ALERTS: Final = """
INSERT INTO alerts
SELECT
  'ctr_anomaly/' || CAST(windowStart AS STRING) || '/' || productId,
  'ctr_anomaly', productId, windowStart, windowStart + 300000, state,
  impressions, clicks, events,
  'ctr_anomaly/' || CAST(windowStart AS STRING) || '/' || productId
    || '/' || state || '/' || CAST(events AS STRING)
FROM ctr_alerts
"""


def main(arguments: Sequence[str] | None = None) -> None:
    print(submit(load_settings(), parse_start(JOB, __doc__, arguments, generation=True)))  # noqa: T201


def submit(settings: Settings, start: Start) -> str:
    """Submit the job and return its id; it runs on when this process ends. Raises what `session.submit` raises."""
    tables = session.table_environment(settings, JOB, start)
    session.create_functions(tables, [CLICKS.topic, PURCHASES.topic])
    for name in (CLICKS.table, PURCHASES.table):
        tables.execute_sql(session.kafka_source(settings, name, [f"shop.{name}"], JOB, start))
        tables.execute_sql(VALIDATED.format(name=name))
    dashboard = session.gateway().io.kappalakehouse.flink.live.LiveDashboard
    dashboard.register(tables._j_tenv, "validated_clicks", "validated_purchases")
    statements = tables.create_statement_set()
    for name, topic, columns, insert in (
        ("dashboard_product_windows", "shop.dashboard", PRODUCT_WINDOW_COLUMNS, WRITE_PRODUCT_WINDOWS),
        ("dashboard_current_sessions", "shop.dashboard", CURRENT_SESSION_COLUMNS, WRITE_CURRENT_SESSIONS),
        ("alerts", "shop.alerts", ALERT_COLUMNS, WRITE_ALERTS),
    ):
        tables.execute_sql(session.kafka_sink(settings, name, topic, columns))
        statements.add_insert_sql(insert.format(generation=start.generation))
    return session.submit(statements)


if __name__ == "__main__":
    main()
