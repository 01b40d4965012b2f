"""Every long-running job, declared once."""

from typing import Final

from lakehouse.contracts.tables import ALERTS_SENT, CLICKS_MIGRATED, FRAUD_ONLINE, SPARK_INGEST, TABLES
from lakehouse.runtime.spec import Engine, JobSpec

_DECLARED: Final = (
    JobSpec(
        name=SPARK_INGEST,
        engine=Engine.PROCESS,
        group="spark",
        entry_point="jobs.streaming.spark.main",
        reads=("shop.clicks", "shop.purchases", "shop.transactions", "shop.products", "shop.profiles"),
        writes=("bronze.dead_letters", *(t.name for t in TABLES.values() if t.owner == SPARK_INGEST)),
        guarantee="exactly once: checkpoint, txnAppId/txnVersion, refresh",
        freshness_seconds=120,
    ),
    JobSpec(
        name="live_dashboard",
        engine=Engine.FLINK,
        group="flink",
        entry_point="jobs.streaming.flink.live_dashboard",
        reads=("shop.clicks", "shop.purchases"),
        writes=("shop.dashboard", "shop.alerts"),
        guarantee="at least once, made idempotent by (generation, seq) and the alert's deduplication key",
        freshness_seconds=5,
    ),
    JobSpec(
        name=FRAUD_ONLINE,
        engine=Engine.FLINK,
        group="flink",
        entry_point="jobs.streaming.flink.fraud_online",
        reads=("shop.transactions",),
        writes=("silver.fraud_online", "shop.alerts"),
        guarantee="exactly once: a Delta commit per checkpoint; alerts at least once with a deduplication key",
        freshness_seconds=30,
    ),
    JobSpec(
        name=ALERTS_SENT,
        engine=Engine.FLINK,
        group="flink",
        entry_point="jobs.streaming.flink.alerts_sent",
        reads=("shop.alerts",),
        writes=("silver.alerts_sent",),
        guarantee="exactly once: a Delta commit per checkpoint",
        freshness_seconds=60,
    ),
    JobSpec(
        name="dashboard_writer",
        engine=Engine.PROCESS,
        group="dashboard_writer",
        entry_point="jobs.streaming.dashboard_writer",
        reads=("shop.dashboard",),
        writes=("redis",),
        guarantee="at least once, guarded by (generation, seq): equal or newer replaces",
        freshness_seconds=5,
    ),
    JobSpec(
        name="notifier",
        engine=Engine.PROCESS,
        group="notifier",
        entry_point="jobs.streaming.notifier",
        reads=("shop.alerts",),
        writes=("slack", "pagerduty"),
        guarantee="at least once with a deduplication key",
        freshness_seconds=30,
    ),
    JobSpec(
        name="user_totals__spark_state",
        engine=Engine.PROCESS,
        group="user_totals__spark_state",
        entry_point="jobs.streaming.spark.stateful.main",
        reads=("shop.purchases",),
        writes=("gold.user_totals__spark_state", "quarantine.batches"),
        guarantee="exactly once: offsets and state in one checkpoint, MERGE idempotent by batch id",
        freshness_seconds=120,
        by_default=False,
    ),
    JobSpec(
        name=CLICKS_MIGRATED,
        engine=Engine.PROCESS,
        group=CLICKS_MIGRATED,
        entry_point="jobs.streaming.spark.migrated",
        reads=("shop.clicks",),
        writes=(f"bronze.{CLICKS_MIGRATED}",),
        guarantee="exactly once from the cut on: checkpoint, txnAppId/txnVersion; the backlog by jobs.batch.migrate",
        freshness_seconds=120,
        by_default=False,
    ),
    JobSpec(
        name="region_revenue__consumer",
        engine=Engine.PROCESS,
        group="region_revenue__consumer",
        entry_point="jobs.streaming.region_revenue.main",
        reads=("shop.purchases",),
        writes=("postgres",),
        guarantee="exactly once: result and offset in one transaction, a former owner fenced by its epoch",
        freshness_seconds=5,
        by_default=False,
    ),
)

JOBS: Final = {job.name: job for job in _DECLARED}
"""Jobs by name."""
DEFAULT_JOBS: Final = {name: job for name, job in JOBS.items() if job.by_default}
"""Those that the lakehouse consists of; the others are started by who wants them."""
