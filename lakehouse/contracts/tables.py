"""Every Delta table: what the rooms of metrics declare, and here what they are made of and what is said of runs."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from lakehouse.contracts.columns import (
    EVENT_DATE,
    HASH,
    POSITION,
    POSITION_KEY,
    REVENUE,
    ROLLED_UP,
    Column,
    TableContract,
    Type,
    payload,
)
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import CLICKS, EVENTS, PURCHASES, TRANSACTIONS, EventContract
from lakehouse.contracts.owners import (
    ALERTS_SENT,
    CLICKS_MIGRATED,
    FOLLOWER,
    FRAUD_ONLINE,
    INGEST,
    INGEST_TRANSACTIONS,
    LAMBDA_BATCH,
    LAMBDA_SPEED,
    SPARK_INGEST,
    SPARK_STATE,
)
from lakehouse.semantics.metrics import ROOMS, Room


class UnknownTableError(LookupError):
    """Asked for a table that no contract declares."""

    def __init__(self, name: str, known: Iterable[str] | None = None) -> None:
        super().__init__(f"unknown table {name!r}; known tables: {', '.join(sorted(known or TABLES))}")


DEAD_LETTERS: Final = "bronze.dead_letters"


def _bronze(event: EventContract) -> TableContract:
    owner = INGEST if CORE is Core.FOLLOWER else INGEST_TRANSACTIONS if event is TRANSACTIONS else SPARK_INGEST
    columns = (*payload(event), *POSITION, Column("value", Type.BINARY), HASH, Column("arrival_date", Type.DATE))
    return TableContract(
        f"bronze.{event.table}", owner, columns, POSITION_KEY, ("arrival_date",), (event.topic,), insert_only=True
    )


_DECLARED: Final = (
    *map(_bronze, EVENTS.values()),
    replace(
        _bronze(CLICKS),
        name=f"bronze.{CLICKS_MIGRATED}",
        owner=CLICKS_MIGRATED,
        variant_of=f"bronze.{CLICKS.table}",
    ),
    TableContract(
        DEAD_LETTERS,
        INGEST if CORE is Core.FOLLOWER else "each ingester",
        (
            *POSITION,
            Column("key", Type.BINARY, nullable=True),
            Column("value", Type.BINARY, nullable=True),
            Column("reason", Type.STRING),
            Column("field", Type.STRING, nullable=True),
            HASH,
            Column("arrival_date", Type.DATE),
        ),
        POSITION_KEY,
        ("arrival_date",),
        tuple(EVENTS),
        insert_only=True,
    ),
    TableContract(
        "silver.fraud_online",
        FRAUD_ONLINE,
        (
            Column("event_id", Type.STRING),
            Column("event_time", Type.TIMESTAMP),
            Column("user_id", Type.STRING),
            Column("amount_cents", Type.LONG),
            Column("transactions_10m", Type.LONG),
            Column("transactions_1h", Type.LONG),
            Column("trigger_time", Type.TIMESTAMP, nullable=True),
            Column("flagged", Type.BOOLEAN),
            Column("blocked", Type.BOOLEAN),
            Column("state_complete", Type.BOOLEAN),
            Column("decided_at", Type.TIMESTAMP),
            *POSITION,
            HASH,
            EVENT_DATE,
        ),
        ("user_id", "event_id", "event_time"),
        ("event_date",),
        (TRANSACTIONS.topic,),
        insert_only=True,
        not_compared=("decided_at",),
    ),
    TableContract(
        "silver.alerts_sent",
        ALERTS_SENT,
        (
            Column("rule", Type.STRING, nullable=True),
            Column("state", Type.STRING, nullable=True),
            Column("dedup_key", Type.STRING, nullable=True),
            *POSITION,
            Column("key", Type.BINARY, nullable=True),
            Column("value", Type.BINARY, nullable=True),
            HASH,
            EVENT_DATE,  # the event is the sending: of the arrival
        ),
        POSITION_KEY,
        ("event_date",),
        ("shop.alerts",),
        insert_only=True,
    ),
    TableContract(
        f"gold.{SPARK_STATE}",
        SPARK_STATE,
        (
            Column("user_id", Type.STRING),
            *REVENUE,
            Column("first_purchase", Type.TIMESTAMP),
            Column("last_purchase", Type.TIMESTAMP),
            *ROLLED_UP,
            Column("batch_id", Type.LONG),
        ),
        ("user_id",),
        reads=(PURCHASES.topic,),
        not_compared=("batch_id",),
        variant_of="gold.user_totals",
    ),
    TableContract(
        "quarantine.batches",
        "streams that set a batch aside",
        (
            Column("job", Type.STRING),
            Column("app_id", Type.STRING),
            Column("batch_id", Type.LONG),
            Column("row", Type.STRING),
            Column("condition", Type.STRING),
            Column("sql_state", Type.STRING),
            Column("error", Type.STRING),
            Column("set_aside_at", Type.TIMESTAMP),
        ),
        ("app_id", "batch_id", "row"),
        insert_only=True,
    ),
    TableContract(
        "quarantine.rows",
        "quality",
        (
            Column("run_id", Type.STRING),
            Column("quarantined_at", Type.TIMESTAMP),
            Column("table", Type.STRING),
            Column("version", Type.LONG),
            Column("expectation", Type.STRING),
            Column("severity", Type.STRING),
            Column("row", Type.STRING),
        ),
        ("run_id", "table", "version", "expectation", "row"),
        insert_only=True,
    ),
    TableContract(
        "ops.comparisons",
        "compare",
        (
            Column("run_id", Type.STRING),
            Column("compared_at", Type.TIMESTAMP),
            Column("table", Type.STRING),
            Column("version", Type.LONG, nullable=True),
            Column("rows_compared", Type.LONG),
            Column("missing", Type.LONG),
            Column("unexpected", Type.LONG),
            Column("different", Type.LONG),
        ),
        ("run_id", "table"),
        insert_only=True,
    ),
    TableContract(
        "ops.ledger",
        "audit",
        (
            Column("run_id", Type.STRING),
            Column("audited_at", Type.TIMESTAMP),
            Column("layer", Type.STRING),
            Column("table", Type.STRING, nullable=True),
            Column("version", Type.LONG, nullable=True),
            Column("topic", Type.STRING, nullable=True),
            Column("topic_id", Type.STRING, nullable=True),
            Column("partition", Type.INTEGER, nullable=True),
            Column("first_offset", Type.LONG, nullable=True),
            Column("end_offset", Type.LONG, nullable=True),
            Column("records", Type.LONG),
            Column("hash_sum", Type.FINGERPRINT),
            Column("lost", Type.LONG),
            Column("doubled", Type.LONG),
            Column("altered", Type.LONG),
            Column("named", Type.STRING, nullable=True),
            Column("job", Type.STRING, nullable=True),
            Column("arrived_before", Type.TIMESTAMP, nullable=True),
        ),
        ("run_id", "layer", "table", "topic", "partition", "first_offset"),
        insert_only=True,
    ),
    TableContract(
        "ops.quality_results",
        "quality",
        (
            Column("run_id", Type.STRING),
            Column("checked_at", Type.TIMESTAMP),
            Column("table", Type.STRING),
            Column("version", Type.LONG, nullable=True),
            Column("rows_checked", Type.LONG),
            Column("expectations", Type.LONG),
            Column("failed", Type.LONG),
            Column("success", Type.BOOLEAN),
            Column("day", Type.DATE, nullable=True),
            Column("as_of", Type.TIMESTAMP, nullable=True),
            Column("seconds", Type.DOUBLE, nullable=True),
        ),
        ("run_id", "table", "checked_at"),
        insert_only=True,
    ),
    TableContract(
        "ops.cuts",
        FOLLOWER,
        (
            Column("recorded_at", Type.TIMESTAMP),
            Column("checkpoint", Type.LONG),
            Column("ends", Type.STRING),
            Column("versions", Type.STRING),
        ),
        ("recorded_at",),
        insert_only=True,
    ),
    TableContract(
        "ops.parity",
        "parity",
        (
            Column("run_id", Type.STRING),
            Column("checked_at", Type.TIMESTAMP),
            Column("table", Type.STRING),
            Column("row", Type.STRING),
            Column("version", Type.LONG),
            Column("equal", Type.BOOLEAN),
            Column("columns", Type.STRING, nullable=True),
        ),
        ("run_id", "table", "row"),
        insert_only=True,
    ),
    TableContract(
        "ops.rejudged",
        "rejudge",
        (
            Column("run_id", Type.STRING),
            Column("recorded_at", Type.TIMESTAMP),
            Column("recorded_by", Type.STRING),
            Column("step", Type.STRING),
            Column("topic", Type.STRING, nullable=True),
            Column("partition", Type.INTEGER, nullable=True),
            Column("offset", Type.LONG, nullable=True),
            Column("arrival", Type.TIMESTAMP, nullable=True),
            Column("reason_before", Type.STRING, nullable=True),
            Column("field_before", Type.STRING, nullable=True),
            Column("reason", Type.STRING, nullable=True),
            Column("field", Type.STRING, nullable=True),
            Column("event", Type.STRING, nullable=True),
            Column("record_hash", Type.LONG, nullable=True),
        ),
        ("run_id", "step", "topic", "partition", "offset"),
        insert_only=True,
    ),
    TableContract(
        "ops.replays",
        "replay",
        (
            Column("replay", Type.LONG),
            Column("recorded_at", Type.TIMESTAMP),
            Column("requested_by", Type.STRING),
            Column("approved_by", Type.STRING, nullable=True),
            Column("code_version", Type.STRING),
            Column("clock", Type.STRING),
            Column("range_start", Type.TIMESTAMP),
            Column("range_end", Type.TIMESTAMP),
            Column("table", Type.STRING),
            Column("version_before", Type.LONG),
            Column("version_after", Type.LONG),
            Column("events", Type.LONG),
            Column("seconds", Type.DOUBLE),
            Column("engine", Type.STRING, nullable=True),
            Column("code_before", Type.STRING, nullable=True),
            Column("plan", Type.STRING, nullable=True),
        ),
        ("replay", "table"),
        insert_only=True,
    ),
)

LAMBDA_EVENTS: Final = TableContract(
    "lambda.batch_events",
    LAMBDA_BATCH,
    (
        Column("topic", Type.STRING),
        Column("user_id", Type.STRING),
        Column("event_id", Type.STRING),
        Column("event_time", Type.TIMESTAMP),
        Column("product_id", Type.STRING, nullable=True),
        Column("action", Type.STRING, nullable=True),
        Column("region", Type.STRING),
        Column("amount_cents", Type.LONG, nullable=True),
        Column("partition", Type.INTEGER),
        Column("offset", Type.LONG),
        HASH,
        EVENT_DATE,
    ),
    ("topic", "user_id", "event_id", "event_time"),
    ("event_date",),
    ("bronze.clicks", "bronze.purchases"),
)
"""What the batch layer has counted: clicks and purchases, each once, as far as the three metrics need them."""

LAMBDA_METRICS: Final = {
    "product_metrics_5m": "gold.product_metrics_5m",
    "region_revenue_daily": "gold.region_revenue_daily",
    "sessions": "silver.sessions",
}
"""By name, Kappa's table of what the Lambda variant computes too."""


def _lambda(layer: str, owner: str, metric: str, reads: tuple[str, ...], without: tuple[str, ...]) -> TableContract:
    """A layer's table of a metric: Kappa's columns but those `without`."""
    kappa = ROOMS[LAMBDA_METRICS[metric]].contract
    columns = tuple(c for c in kappa.columns if c.name not in without)
    return replace(
        kappa,
        name=f"lambda.{layer}_{metric}",
        owner=owner,
        columns=columns,
        reads=reads,
        not_compared=(),
        variant_of=kappa.name,
    )


_LAMBDA: Final = (
    LAMBDA_EVENTS,
    *(_lambda("batch", LAMBDA_BATCH, metric, (LAMBDA_EVENTS.name,), ("changed_by",)) for metric in LAMBDA_METRICS),
    # What a row adds to that of the batch layer; a rate is not added.
    *(
        _lambda("speed", LAMBDA_SPEED, metric, (CLICKS.topic, PURCHASES.topic), ("changed_by", "ctr"))
        for metric in LAMBDA_METRICS
    ),
)

_STREAMED: Final = tuple(room for room in ROOMS.values() if room.contract.owner == SPARK_INGEST)
"""Silver and gold, which either core makes."""
INGESTED: Final = "" if CORE is Core.FOLLOWER else "__flink"
ASIDE: Final = "__follower"
"""What the follower's tables are told by beside those of the Spark driver."""
FOLLOWED: Final = "" if CORE is Core.FOLLOWER else ASIDE
"""What names of bronze tables that Flink's ingest writes, and of the follower's tables, have beyond those that they are
variants of: nothing where they are the core."""


def _follower(room: Room) -> TableContract:
    """Of the same rows, in files that are cut by time and lie in no partitions; made of what Flink has ingested."""
    contract = room.contract
    own = {room.contract.name for room in _STREAMED}
    return replace(
        contract,
        name=f"{contract.name}{FOLLOWED}",
        owner=FOLLOWER,
        partition_by=(),
        reads=tuple(f"{name}{FOLLOWED if name in own else INGESTED}" for name in contract.reads),
        variant_of=contract.name if FOLLOWED else None,
        cut_by=room.cut_by,
    )


_FOLLOWER: Final = tuple(map(_follower, _STREAMED))
_SHADOW: Final = tuple(
    replace(contract, name=f"{contract.name}{INGESTED}", owner=INGEST, variant_of=contract.name)
    for contract in _DECLARED
    if contract.layer == "bronze" and not contract.variant_of and INGESTED
)
"""Of the other ingest."""

TABLES: Final = {
    t.name: t for t in (*_DECLARED, *(room.contract for room in ROOMS.values()), *_LAMBDA, *_SHADOW, *_FOLLOWER)
}
"""Contracts by table name."""


BRONZE: Final = (*(f"bronze.{event.table}" for event in EVENTS.values()), DEAD_LETTERS)
"""The tables of Kafka's records, but for variants: of each topic the valid ones, and the others of all."""


def table(name: str) -> TableContract:
    """The contract of ``layer.name``.

    Raises:
        UnknownTableError: no such table; the message lists those that exist.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise UnknownTableError(name) from None


def checked_tables() -> list[str]:
    """The tables that have a suite of expectations: the dead letters, silver and gold."""
    layers = [t.name for t in TABLES.values() if t.layer in ("silver", "gold") and not t.variant_of]
    return [DEAD_LETTERS, *layers]


def ingested(name: str) -> EventContract:
    """The contract of the events that a bronze table holds, a variant's among them.

    Raises:
        UnknownTableError: no such table.
        ValueError: it holds the events of no one contract.
    """
    original = table(name).variant_of or name
    for contract in EVENTS.values():
        if original == f"bronze.{contract.table}":
            return contract
    raise ValueError(f"{name} is no bronze table of one kind of event")
