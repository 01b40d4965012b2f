"""What a table's contract is made of: column types, columns, and what several tables share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lakehouse.contracts.events import PRODUCTS, EventContract, Kind
from lakehouse.contracts.owners import SPARK_INGEST


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


@dataclass(frozen=True, slots=True)
class TableContract:
    """`name` is ``layer.table``. `key` identifies a row. `insert_only` tables may be read as a stream. `reads`: the
    topics and tables that its rows are computed from; `lakehouse.contracts.graph` follows them.

    `cut_by`: the column in the order of which its rows are cut into files, by whoever writes these himself.

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
    cut_by: str | None = None

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def day(self) -> str | None:
        """The column of the day on which a row lies: of its event, in bronze of its arrival; None where it has none."""
        return next((name for name in ("event_date", "arrival_date") if name in self.column_names), None)

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

POSITION: Final = (
    Column("topic", Type.STRING),
    Column("partition", Type.INTEGER),
    Column("offset", Type.LONG),
    Column("arrival", Type.TIMESTAMP),
)
ROLLED_UP: Final = (Column("events", Type.LONG), Column("fingerprint", Type.FINGERPRINT))
CHANGED_BY: Final = Column("changed_by", Type.STRING)
EVENT_DATE: Final = Column("event_date", Type.DATE)
HASH: Final = Column("record_hash", Type.LONG)
WINDOW: Final = (Column("window_start", Type.TIMESTAMP), Column("window_end", Type.TIMESTAMP))
REVENUE_CENTS: Final = Column("revenue_cents", Type.LONG, nullable=True, money_sum=True)
REVENUE: Final = (Column("purchases", Type.LONG), REVENUE_CENTS)
POSITION_KEY: Final = ("topic", "partition", "offset")


def payload(event: EventContract) -> tuple[Column, ...]:
    """The typed columns of an event's fields, in the contract's order."""
    return tuple(Column(f.name, _WIRE_TYPES[f.kind], f.nullable) for f in event.fields)


PRODUCT_VERSION: Final = (
    Column("category", Type.STRING, nullable=True),
    Column("brand", Type.STRING, nullable=True),
    Column("price_cents", Type.LONG, nullable=True),
    Column("product_valid_from", Type.TIMESTAMP, nullable=True),
)


def silver_events(event: EventContract) -> TableContract:
    """De-duplicated events; those that name a product with its version valid at event time."""
    version = PRODUCT_VERSION if any(f.name == "product_id" for f in event.fields) else ()
    columns = (*payload(event), *POSITION, HASH, *version, EVENT_DATE)
    key = (event.key, "event_id", "event_time")
    reads = (f"bronze.{event.table}", *([f"silver.{PRODUCTS.table}"] if version else []))
    return TableContract(f"silver.{event.table}", SPARK_INGEST, columns, key, ("event_date",), reads, insert_only=True)


def silver_versions(event: EventContract) -> TableContract:
    """SCD2: one row per version, `valid_to` null while it is the latest."""
    columns = (*payload(event), Column("valid_to", Type.TIMESTAMP, nullable=True), *POSITION, HASH)
    reads = (f"bronze.{event.table}",)
    return TableContract(f"silver.{event.table}", SPARK_INGEST, columns, (event.key, "valid_from"), reads=reads)


def gold(
    name: str,
    reads: tuple[str, ...],
    columns: tuple[Column, ...],
    key: tuple[str, ...],
    partition_by: tuple[str, ...] = ("event_date",),
) -> TableContract:
    dated = (EVENT_DATE,) if "event_date" in partition_by else ()
    return TableContract(
        f"gold.{name}",
        SPARK_INGEST,
        (*columns, *ROLLED_UP, CHANGED_BY, *dated),
        key,
        partition_by,
        reads,
        not_compared=("changed_by",),
    )
