"""Submits the fraud decisions to the Flink session cluster.

Kafka -> one validator -> each transaction decided once, by what has come -> ``silver.fraud_online``, and what is
flagged or blocked -> ``shop.alerts``. The rule, its state and its timers are `io.kappalakehouse.flink.fraud`.
"""

from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.tables import table
from lakehouse.kafka.topics import ALERTS
from lakehouse.settings import Settings, load_settings

JOB: Final = "fraud_online"
TABLE: Final = "silver.fraud_online"

# The watermark is made in the source, so that it is the least of its partitions' and not of those that a subtask
# happened to read last. A record without a valid time moves nothing. Metadata are declared again where they are used.
TIMED: Final = """
CREATE TEMPORARY TABLE timed_transactions (
  arrival TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  event_time AS COALESCE(validate_transactions(`key`, `value`, arrival).event_time, TO_TIMESTAMP_LTZ(0, 3)),
  WATERMARK FOR event_time AS event_time - INTERVAL '1' MINUTE
) LIKE transactions (OVERWRITING METADATA)
"""
SILENT_PARTITION: Final = "60 s"
"""A partition without records for so long holds the watermark back no more."""

VALIDATED: Final = """
CREATE TEMPORARY VIEW validated_transactions AS
SELECT
  `partition`,
  `offset`,
  arrival,
  record_hash('shop.transactions', `partition`, `offset`, `value`) AS record_hash,
  validate_transactions(`key`, `value`, arrival) AS event
FROM timed_transactions
"""

WRITE_DECISIONS: Final = """
INSERT INTO silver_fraud_online
SELECT
  `transaction`.eventId,
  TO_TIMESTAMP_LTZ(`transaction`.eventTime, 3),
  `transaction`.userId,
  `transaction`.amountCents,
  transactions10m,
  transactions1h,
  TO_TIMESTAMP_LTZ(triggerTime, 3),
  flagged,
  blocked,
  stateComplete,
  TO_TIMESTAMP_LTZ(decidedAt, 3),
  'shop.transactions',
  `transaction`.`partition`,
  `transaction`.`offset`,
  TO_TIMESTAMP_LTZ(`transaction`.arrival, 3),
  `transaction`.recordHash,
  CAST(TO_TIMESTAMP_LTZ(`transaction`.eventTime, 3) AS DATE)
FROM fraud_decisions
"""

ALERT_COLUMNS: Final = """
  `rule` STRING, user_id STRING, window_start BIGINT, window_end BIGINT, state STRING,
  event_id STRING, event_time BIGINT, amount_cents BIGINT, transactions_10m BIGINT, transactions_1h BIGINT,
  dedup_key STRING
"""
WRITE_ALERTS: Final = """
INSERT INTO alerts
SELECT
  `rule` || '/' || CAST(hour_start AS STRING) || '/' || user_id,
  `rule`, user_id, hour_start, hour_start + 3600000, 'opened',
  event_id, event_time, amount_cents, transactions10m, transactions1h,
  `rule` || '/' || CAST(hour_start AS STRING) || '/' || user_id
    || '/opened/' || CAST(event_time AS STRING) || '/' || event_id
FROM (
  SELECT
    '{rule}' AS `rule`,
    `transaction`.userId AS user_id,
    `transaction`.eventId AS event_id,
    `transaction`.eventTime AS event_time,
    `transaction`.eventTime - MOD(`transaction`.eventTime, 3600000) AS hour_start,
    `transaction`.amountCents AS amount_cents,
    transactions10m,
    transactions1h
  FROM fraud_alerts
  WHERE {condition}
)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    print(submit(load_settings(), parse_start(JOB, __doc__, arguments)))  # noqa: T201


def submit(settings: Settings, start: Start) -> str:
    """Submit the job and return its id; raises what `session.submit` raises."""
    tables = session.table_environment(settings, JOB, start)
    tables.get_config().set("table.exec.source.idle-timeout", SILENT_PARTITION)
    session.create_functions(tables, [TRANSACTIONS.topic])
    source = session.kafka_source(settings, "transactions", [TRANSACTIONS.topic], JOB, start)
    for statement in (source, TIMED, VALIDATED):
        tables.execute_sql(statement)
    session.gateway().io.kappalakehouse.flink.fraud.FraudDetection.register(
        tables._j_tenv, "validated_transactions", settings.fraud_idle_hours, settings.fraud_remember_hours
    )
    tables.execute_sql(session.delta_sink(settings, table(TABLE), [TRANSACTIONS.topic], start))
    tables.execute_sql(session.kafka_sink(settings, "alerts", ALERTS, ALERT_COLUMNS))
    statements = tables.create_statement_set()
    statements.add_insert_sql(WRITE_DECISIONS)
    for rule, condition in (("fraud_flagged", "flagged"), ("fraud_blocked", "blocked")):
        statements.add_insert_sql(WRITE_ALERTS.format(rule=rule, condition=condition))
    return session.submit(statements)


if __name__ == "__main__":
    main()
