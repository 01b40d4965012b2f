"""Submits the live dashboard to the Flink session cluster.

Kafka -> one validator -> each event once -> windows per product, current sessions and CTR anomalies -> Kafka.
SQL reads, validates and writes; what it cannot do exactly is `io.kappalakehouse.flink.live` in ``connectors/``.

Example:
    python -m jobs.streaming.flink.live_dashboard --generation 1
"""

import argparse
from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from lakehouse.settings import Settings, load_settings

JOB: Final = "live_dashboard"

FUNCTIONS: Final = {
    "validate_clicks": "io.kappalakehouse.flink.ValidateClicks",
    "validate_purchases": "io.kappalakehouse.flink.ValidatePurchases",
    "record_hash": "io.kappalakehouse.flink.RecordHash",
}

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
    parser = argparse.ArgumentParser(prog="python -m jobs.streaming.flink.live_dashboard", description=__doc__)
    parser.add_argument("--generation", type=int, required=True, help="goes into every row; raised with new state")
    parser.add_argument("--restore", metavar="PATH", help="checkpoint or savepoint to go on from; else new state")
    options = parser.parse_args(arguments)
    print(submit(load_settings(), options.generation, options.restore))  # noqa: T201


def submit(settings: Settings, generation: int, restore: str | None = None) -> str:
    """Submit the job and return its id; it runs on when this process ends.

    Raises:
        py4j.protocol.Py4JJavaError: the cluster did not take it.
    """
    tables = session.table_environment(settings, JOB, restore)
    for name, implementation in FUNCTIONS.items():
        tables.create_java_temporary_function(name, implementation)
    for name in ("clicks", "purchases"):
        tables.execute_sql(session.kafka_source(settings, name, f"shop.{name}", JOB))
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
        statements.add_insert_sql(insert.format(generation=generation))
    return session.submit(statements)


if __name__ == "__main__":
    main()
