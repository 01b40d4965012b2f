"""Who owns tables: the names of the jobs that write them, once."""

from typing import Final

SPARK_INGEST: Final = "spark_lakehouse"
"""The one Spark driver: ingest, silver and gold of the shop."""
BACKFILL: Final = "backfill_marts"
CLICKS_MIGRATED: Final = "clicks__migrated"
"""The migration of clicks: a stream from a cut on, and a batch job up to it."""
FRAUD_ONLINE: Final = "fraud_online"
ALERTS_SENT: Final = "alerts_sent"
"""Flink's jobs that keep what was said."""
INGEST_TRANSACTIONS: Final = "ingest_transactions"
"""Flink's ingester of transactions."""
INGEST: Final = "ingest"
FOLLOWER: Final = "follower"
"""The core beside the Spark driver: bronze of all topics by one Flink job; silver and gold, each table following those
that it is computed from."""
SPARK_STATE: Final = "user_totals__spark_state"
"""Spark's own stream: totals in its state store."""
LAMBDA_BATCH: Final = "lambda_batch"
LAMBDA_SPEED: Final = "lambda_speed"
"""The two layers of the Lambda variant, which runs beside for comparison."""
