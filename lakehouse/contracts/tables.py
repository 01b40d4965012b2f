"""Every Delta table: columns, key, partitioning, owner and what it is computed from."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from lakehouse.contracts.events import (
    CLICKS,
    EVENTS,
    PRODUCTS,
    PROFILES,
    PURCHASES,
    TRANSACTIONS,
    EventContract,
    Kind,
)


class Type(StrEnum):
    """Column types, named as Delta names them. Timestamps are UTC, whole milliseconds in microseconds."""

    STRING = "string"
    INTEGER = "integer"
    LONG = "long"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    BINARY = "binary"
    DATE = "date"
    TIMESTAMP = "timestamp"
    FINGERPRINT = "decimal(38,0)"


@dataclass(frozen=True, slots=True)
class Column:
    """`money_sum`: a sum of cents. It is null in a row whose sum doesn't fit 64 bits, which so stands aside."""

    name: str
    type: Type
    nullable: bool = False
    money_sum: bool = False


class UnknownTableError(LookupError):
    """Asked for a table that no contract declares."""

    def __init__(self, name: str, known: Iterable[str] | None = None) -> None:
        super().__init__(f"unknown table {name!r}; known tables: {', '.join(sorted(known or TABLES))}")


@dataclass(frozen=True, slots=True)
class TableContract:
    """`name` is ``layer.table``. `key` identifies a row. `insert_only` tables may be read as a stream. `reads`: the
    topics and tables that its rows are computed from; `lakehouse.contracts.graph` follows them.

    `not_compared` columns tell of the run that wrote a row, not of the data: comparisons leave them out. A table that
    is a `variant_of` another has the same meaning, made in another way by a job that is off by default: what looks at
    all tables leaves it out, as it may never have been written.
    """

    name: str
    owner: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    insert_only: bool = False
    not_compared: tuple[str, ...] = ()
    variant_of: str | None = None

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @property
    def money_sums(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.money_sum)

    @property
    def compared_columns(self) -> tuple[str, ...]:
        return tuple(n for n in self.column_names if n not in self.not_compared)


_WIRE_TYPES: Final = {
    Kind.ID: Type.STRING,
    Kind.STRING: Type.STRING,
    Kind.INTEGER: Type.LONG,
    Kind.TIME: Type.TIMESTAMP,
}

_POSITION: Final = (
    Column("topic", Type.STRING),
    Column("partition", Type.INTEGER),
    Column("offset", Type.LONG),
    Column("arrival", Type.TIMESTAMP),
)
_ROLLED_UP: Final = (Column("events", Type.LONG), Column("fingerprint", Type.FINGERPRINT))
_CHANGED_BY: Final = Column("changed_by", Type.STRING)
_EVENT_DATE: Final = Column("event_date", Type.DATE)
_HASH: Final = Column("record_hash", Type.LONG)
_WINDOW: Final = (Column("window_start", Type.TIMESTAMP), Column("window_end", Type.TIMESTAMP))
_REVENUE_CENTS: Final = Column("revenue_cents", Type.LONG, nullable=True, money_sum=True)
_REVENUE: Final = (Column("purchases", Type.LONG), _REVENUE_CENTS)
_POSITION_KEY: Final = ("topic", "partition", "offset")

DEAD_LETTERS: Final = "bronze.dead_letters"

SPARK_INGEST: Final = "spark_lakehouse"
"""The one Spark driver: ingest, silver and gold of the shop."""
BACKFILL: Final = "backfill_marts"
CLICKS_MIGRATED: Final = "clicks__migrated"
"""The migration of clicks: a stream from a cut on, and a batch job up to it."""
FRAUD_ONLINE: Final = "fraud_online"
ALERTS_SENT: Final = "alerts_sent"
"""Flink's jobs that keep what was said."""
INGEST_TRANSACTIONS: Final = "ingest_transactions"
INGEST_CLICKS: Final = "ingest_clicks"
"""Flink's ingesters; that of clicks for comparisons only."""
LAMBDA_BATCH: Final = "lambda_batch"
LAMBDA_SPEED: Final = "lambda_speed"
"""The two layers of the Lambda variant, which runs beside for comparison."""


def payload(event: EventContract) -> tuple[Column, ...]:
    """The typed columns of an event's fields, in the contract's order."""
    return tuple(Column(f.name, _WIRE_TYPES[f.kind], f.nullable) for f in event.fields)


def _bronze(event: EventContract, owner: str) -> TableContract:
    columns = (*payload(event), *_POSITION, Column("value", Type.BINARY), _HASH, Column("arrival_date", Type.DATE))
    return TableContract(
        f"bronze.{event.table}", owner, columns, _POSITION_KEY, ("arrival_date",), (event.topic,), insert_only=True
    )


_PRODUCT_VERSION: Final = (
    Column("category", Type.STRING, nullable=True),
    Column("brand", Type.STRING, nullable=True),
    Column("price_cents", Type.LONG, nullable=True),
    Column("product_valid_from", Type.TIMESTAMP, nullable=True),
)


def _silver_events(event: EventContract) -> TableContract:
    """De-duplicated events; those that name a product with its version valid at event time."""
    version = _PRODUCT_VERSION if any(f.name == "product_id" for f in event.fields) else ()
    columns = (*payload(event), *_POSITION, _HASH, *version, _EVENT_DATE)
    key = (event.key, "event_id", "event_time")
    reads = (f"bronze.{event.table}", *([f"silver.{PRODUCTS.table}"] if version else []))
    return TableContract(f"silver.{event.table}", SPARK_INGEST, columns, key, ("event_date",), reads, insert_only=True)


def _silver_versions(event: EventContract) -> TableContract:
    """SCD2: one row per version, `valid_to` null while it is the latest."""
    columns = (*payload(event), Column("valid_to", Type.TIMESTAMP, nullable=True), *_POSITION, _HASH)
    reads = (f"bronze.{event.table}",)
    return TableContract(f"silver.{event.table}", SPARK_INGEST, columns, (event.key, "valid_from"), reads=reads)


def _gold(
    name: str,
    reads: tuple[str, ...],
    columns: tuple[Column, ...],
    key: tuple[str, ...],
    partition_by: tuple[str, ...] = ("event_date",),
) -> TableContract:
    dated = (_EVENT_DATE,) if "event_date" in partition_by else ()
    return TableContract(
        f"gold.{name}",
        SPARK_INGEST,
        (*columns, *_ROLLED_UP, _CHANGED_BY, *dated),
        key,
        partition_by,
        reads,
        not_compared=("changed_by",),
    )


_DECLARED: Final = (
    *(_bronze(e, SPARK_INGEST) for e in (CLICKS, PURCHASES, PRODUCTS, PROFILES)),
    replace(_bronze(CLICKS, CLICKS_MIGRATED), name=f"bronze.{CLICKS_MIGRATED}", variant_of=f"bronze.{CLICKS.table}"),
    _bronze(TRANSACTIONS, INGEST_TRANSACTIONS),
    replace(_bronze(CLICKS, INGEST_CLICKS), name="bronze.clicks__flink", variant_of="bronze.clicks"),
    TableContract(
        DEAD_LETTERS,
        "each ingester",
        (
            *_POSITION,
            Column("key", Type.BINARY, nullable=True),
            Column("value", Type.BINARY, nullable=True),
            Column("reason", Type.STRING),
            Column("field", Type.STRING, nullable=True),
            _HASH,
            Column("arrival_date", Type.DATE),
        ),
        _POSITION_KEY,
        ("arrival_date",),
        tuple(EVENTS),
        insert_only=True,
    ),
    _silver_events(CLICKS),
    _silver_events(PURCHASES),
    _silver_events(TRANSACTIONS),
    _silver_versions(PRODUCTS),
    _silver_versions(PROFILES),
    TableContract(
        "silver.sessions",
        SPARK_INGEST,
        (
            Column("user_id", Type.STRING),
            Column("session_start", Type.TIMESTAMP),
            Column("session_end", Type.TIMESTAMP),
            Column("duration_ms", Type.LONG),
            Column("impressions", Type.LONG),
            Column("clicks", Type.LONG),
            Column("anomalous", Type.BOOLEAN),
            *_ROLLED_UP,
            _EVENT_DATE,
        ),
        ("user_id", "session_start"),
        ("event_date",),
        ("silver.session_parts",),
    ),
    TableContract(
        "silver.session_parts",
        SPARK_INGEST,
        (
            Column("user_id", Type.STRING),
            Column("session_start", Type.TIMESTAMP),
            Column("part", Type.INTEGER),
            Column("part_start", Type.TIMESTAMP),
            Column("part_end", Type.TIMESTAMP),
            Column("impressions", Type.LONG),
            Column("clicks", Type.LONG),
            *_ROLLED_UP,
            _EVENT_DATE,
        ),
        ("user_id", "session_start", "part"),
        ("event_date",),
        ("silver.clicks",),
    ),
    TableContract(
        "silver.purchase_clicks",
        SPARK_INGEST,
        (
            Column("event_id", Type.STRING),
            Column("event_time", Type.TIMESTAMP),
            Column("user_id", Type.STRING),
            Column("product_id", Type.STRING),
            Column("quantity", Type.LONG),
            Column("amount_cents", Type.LONG),
            Column("region", Type.STRING),
            Column("click_event_id", Type.STRING, nullable=True),
            Column("click_event_time", Type.TIMESTAMP, nullable=True),
            *_ROLLED_UP,
            _EVENT_DATE,
        ),
        ("user_id", "event_id", "event_time"),
        ("event_date",),
        ("silver.clicks", "silver.purchases"),
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
            *_POSITION,
            _HASH,
            _EVENT_DATE,
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
            *_POSITION,
            Column("key", Type.BINARY, nullable=True),
            Column("value", Type.BINARY, nullable=True),
            _HASH,
            _EVENT_DATE,  # the event is the sending: of the arrival
        ),
        _POSITION_KEY,
        ("event_date",),
        ("shop.alerts",),
        insert_only=True,
    ),
    _gold(
        "product_metrics_5m",
        ("silver.clicks", "silver.purchases"),
        (
            Column("product_id", Type.STRING),
            *_WINDOW,
            Column("impressions", Type.LONG),
            Column("clicks", Type.LONG),
            Column("conversions", Type.LONG),
            _REVENUE_CENTS,
            Column("ctr", Type.DOUBLE, nullable=True),
        ),
        ("product_id", "window_start"),
    ),
    _gold(
        "region_revenue_5m",
        ("silver.purchases",),
        (Column("region", Type.STRING), *_WINDOW, *_REVENUE),
        ("region", "window_start"),
    ),
    _gold(
        "region_revenue_daily",
        ("gold.region_revenue_5m",),
        (Column("region", Type.STRING), *_REVENUE),
        ("region", "event_date"),
    ),
    _gold(
        "region_revenue_sliding_10m",
        ("silver.purchases",),
        (Column("region", Type.STRING), *_WINDOW, *_REVENUE),
        ("region", "window_start"),
    ),
    _gold(
        "user_totals_daily",
        ("silver.purchases",),
        (
            Column("user_id", Type.STRING),
            *_REVENUE,
            Column("first_purchase", Type.TIMESTAMP),
            Column("last_purchase", Type.TIMESTAMP),
        ),
        ("user_id", "event_date"),
    ),
    _gold(
        "user_totals",
        ("gold.user_totals_daily",),
        (
            Column("user_id", Type.STRING),
            *_REVENUE,
            Column("first_purchase", Type.TIMESTAMP),
            Column("last_purchase", Type.TIMESTAMP),
        ),
        ("user_id",),
        (),
    ),
    _gold(
        "fraud_decisions",
        ("silver.transactions",),
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
        ),
        ("user_id", "event_id", "event_time"),
    ),
    _gold(
        "alerts",
        ("gold.product_metrics_5m", "silver.sessions", "gold.fraud_decisions"),
        (
            Column("rule", Type.STRING),
            Column("key", Type.STRING),
            *_WINDOW,
            Column("event_id", Type.STRING, nullable=True),
            Column("event_time", Type.TIMESTAMP, nullable=True),
        ),
        ("rule", "key", "window_start", "event_id", "event_time"),
    ),
    TableContract(
        "gold.user_totals__spark_state",
        "user_totals__spark_state",
        (
            Column("user_id", Type.STRING),
            *_REVENUE,
            Column("first_purchase", Type.TIMESTAMP),
            Column("last_purchase", Type.TIMESTAMP),
            *_ROLLED_UP,
            Column("batch_id", Type.LONG),
        ),
        ("user_id",),
        reads=(PURCHASES.topic,),
        not_compared=("batch_id",),
        variant_of="gold.user_totals",
    ),
    TableContract(
        "marts.product_daily",
        BACKFILL,
        (
            _EVENT_DATE,
            Column("product_id", Type.STRING),
            Column("impressions", Type.LONG),
            Column("clicks", Type.LONG),
            Column("conversions", Type.LONG),
            _REVENUE_CENTS,
            Column("ctr", Type.DOUBLE, nullable=True),
            Column("category", Type.STRING, nullable=True),
            Column("brand", Type.STRING, nullable=True),
            *_ROLLED_UP,
        ),
        ("event_date", "product_id"),
        ("event_date",),
        ("gold.product_metrics_5m", "silver.products"),
    ),
    TableContract(
        "marts.region_daily",
        BACKFILL,
        (
            _EVENT_DATE,
            Column("region", Type.STRING),
            *_REVENUE,
            Column("clicks", Type.LONG),
            Column("impressions", Type.LONG),
            Column("distinct_users", Type.LONG),
            *_ROLLED_UP,
        ),
        ("event_date", "region"),
        ("event_date",),
        ("silver.clicks", "silver.purchases"),
    ),
    TableContract(
        "marts.session_funnel",
        BACKFILL,
        (
            _EVENT_DATE,
            Column("sessions", Type.LONG),
            Column("sessions_with_click", Type.LONG),
            Column("sessions_with_purchase", Type.LONG),
            _REVENUE_CENTS,
            *_ROLLED_UP,
        ),
        ("event_date",),
        ("event_date",),
        ("silver.sessions", "silver.purchases"),
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
        _HASH,
        _EVENT_DATE,
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
    kappa = next(t for t in _DECLARED if t.name == LAMBDA_METRICS[metric])
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

TABLES: Final = {t.name: t for t in (*_DECLARED, *_LAMBDA)}
"""Contracts by table name."""


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
