"""What a job is, and every long-running job, declared once: DAGs, command line, supervisor and docs derive from it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lakehouse.contracts.core import CORE, SPARK_STREAM, Core
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.owners import (
    ALERTS_SENT,
    CLICKS_MIGRATED,
    FOLLOWER,
    FRAUD_ONLINE,
    INGEST,
    INGEST_TRANSACTIONS,
    LAMBDA_SPEED,
    SPARK_INGEST,
    SPARK_STATE,
)
from lakehouse.contracts.tables import DEAD_LETTERS, TABLES


class Engine(StrEnum):
    """How a job runs: as a Flink job on the session cluster, or as a process under the supervisor."""

    FLINK = "flink"
    PROCESS = "process"


class Restart(StrEnum):
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One long-running job.

    `entry_point` is a Python module, run as ``python -m``: with Flink's Python and PyFlink for `FLINK`, with
    the main one for `PROCESS`. `group` joins jobs that share a process. `freshness_seconds` is the time
    within which an arrived record shows in `writes`. A job that is not `by_default` runs only where somebody starts it:
    nothing else needs what it writes. `core`: the one that it belongs to; with another there is no such job.
    `positions_in_tables`: what it writes says how far it has read, so that new state goes on from there.
    `state_in_tables`: all that it knows but its position lies in the tables that it
    writes, so that it may go on from its position with a new checkpoint.
    """

    name: str
    engine: Engine
    group: str
    entry_point: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    guarantee: str
    freshness_seconds: int
    restart: Restart = Restart.ALWAYS
    by_default: bool = True
    core: Core | None = None
    positions_in_tables: bool = False
    state_in_tables: bool = False

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics among what it reads."""
        return tuple(name for name in self.reads if name.startswith("shop."))

    @property
    def spark(self) -> bool:
        """Whether it is a stream of Spark's, which keeps its position in a checkpoint."""
        return self.entry_point.startswith("jobs.streaming.spark.")


_FOLLOWED: Final = tuple(t for t in TABLES.values() if t.owner == FOLLOWER)

_DECLARED: Final = (
    JobSpec(
        name=SPARK_INGEST,
        engine=Engine.PROCESS,
        group="spark",
        entry_point="jobs.streaming.spark.main",
        reads=("shop.clicks", "shop.purchases", "shop.transactions", "shop.products", "shop.profiles"),
        writes=(DEAD_LETTERS, *(t.name for t in TABLES.values() if t.owner == SPARK_INGEST)),
        guarantee="exactly once: checkpoint, txnAppId/txnVersion, refresh",
        freshness_seconds=120,
        core=Core.SPARK,
        state_in_tables=True,
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
        name=INGEST_TRANSACTIONS,
        engine=Engine.FLINK,
        group="flink",
        entry_point="jobs.streaming.flink.ingest_transactions",
        reads=("shop.transactions",),
        writes=("bronze.transactions", DEAD_LETTERS),
        guarantee="exactly once: one Delta commit per checkpoint, with txn(appId, checkpoint id)",
        freshness_seconds=30,
        core=Core.SPARK,
    ),
    JobSpec(
        name=INGEST,
        engine=Engine.FLINK,
        group="flink",
        entry_point="jobs.streaming.flink.ingest",
        reads=tuple(EVENTS),
        writes=tuple(t.name for t in TABLES.values() if t.owner == INGEST),
        guarantee="exactly once: one Delta commit per checkpoint and table, which says how far each topic was read",
        freshness_seconds=30,
        by_default=CORE is Core.FOLLOWER,
        positions_in_tables=True,
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
        name=SPARK_STATE,
        engine=Engine.PROCESS,
        group=SPARK_STATE,
        entry_point="jobs.streaming.spark.stateful.main",
        reads=("shop.purchases",),
        writes=(f"gold.{SPARK_STATE}", "quarantine.batches"),
        guarantee="exactly once: offsets and state in one checkpoint, MERGE idempotent by batch id",
        freshness_seconds=120,
        by_default=SPARK_STREAM,
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
        state_in_tables=True,
    ),
    JobSpec(
        name=FOLLOWER,
        engine=Engine.PROCESS,
        group=FOLLOWER,
        entry_point="jobs.follower.main",
        reads=tuple(dict.fromkeys(read for t in _FOLLOWED for read in t.reads if TABLES[read].owner == INGEST)),
        writes=tuple(t.name for t in _FOLLOWED),
        guarantee="exactly once: each commit follows from one snapshot, and says how far its sources were read",
        freshness_seconds=15,
        by_default=CORE is Core.FOLLOWER,
    ),
    JobSpec(
        name=LAMBDA_SPEED,
        engine=Engine.PROCESS,
        group=LAMBDA_SPEED,
        entry_point="jobs.streaming.lambda_speed.main",
        reads=("shop.clicks", "shop.purchases"),
        writes=tuple(t.name for t in TABLES.values() if t.owner == LAMBDA_SPEED),
        guarantee="exactly once: rows follow from the batch layer's hand-over and the offsets read, and replace others",
        freshness_seconds=30,
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

JOBS: Final = {job.name: job for job in _DECLARED if job.core in (None, CORE)}
"""Jobs by name."""
DEFAULT_JOBS: Final = {name: job for name, job in JOBS.items() if job.by_default}
"""Those that the lakehouse consists of; the others are started by who wants them."""
