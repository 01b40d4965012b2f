"""The events of each topic: their fields, in the order in which they are validated."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_VALUE_BYTES: Final = 65_536
MAX_ID_BYTES: Final = 256
MAX_DEPTH: Final = 64
PARTITIONS: Final = 6
MAX_CLOCK_SKEW_MS: Final = 5 * 60_000
"""How far an event time may lie after its record's arrival."""
EARLIEST_TIME: Final = "2000-01-01T00:00:00Z"
LATEST_TIME: Final = "9999-12-31T23:59:59.999Z"
"""An offset can put a time that is written with four digits of year beyond it; most engines can't hold that."""
MAX_CENTS: Final = 100_000_000_000
"""Of one amount or price: a sum of 92 million of them fits 64 bits."""


class Kind(StrEnum):
    """What a field holds on the wire."""

    ID = "id"
    STRING = "string"
    INTEGER = "integer"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Field:
    """One payload field. `allowed` lists the only values; `minimum` and `maximum` bound integers."""

    name: str
    kind: Kind
    nullable: bool = False
    allowed: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


def bounded_by_arrival(field: Field) -> bool:
    """Whether the field's time may lie at most `MAX_CLOCK_SKEW_MS` after the record's arrival."""
    return field.name == "event_time"


@dataclass(frozen=True, slots=True)
class EventContract:
    """A topic's payload. `table` is the suffix of its bronze and silver tables."""

    topic: str
    key: str
    fields: tuple[Field, ...]
    changelog: bool = False

    @property
    def table(self) -> str:
        return self.topic.removeprefix("shop.")


_IDENTITY = (Field("event_id", Kind.ID), Field("event_time", Kind.TIME))

CLICKS: Final = EventContract(
    "shop.clicks",
    "user_id",
    (
        *_IDENTITY,
        Field("user_id", Kind.ID),
        Field("product_id", Kind.ID, nullable=True),
        Field("action", Kind.STRING, allowed=("impression", "click")),
        Field("page", Kind.STRING),
        Field("region", Kind.STRING),
    ),
)
PURCHASES: Final = EventContract(
    "shop.purchases",
    "user_id",
    (
        *_IDENTITY,
        Field("user_id", Kind.ID),
        Field("product_id", Kind.ID),
        Field("quantity", Kind.INTEGER, minimum=1),
        Field("amount_cents", Kind.INTEGER, minimum=0, maximum=MAX_CENTS),
        Field("currency", Kind.STRING, allowed=("EUR",)),
        Field("region", Kind.STRING),
    ),
)
TRANSACTIONS: Final = EventContract(
    "shop.transactions",
    "user_id",
    (
        *_IDENTITY,
        Field("user_id", Kind.ID),
        Field("amount_cents", Kind.INTEGER, minimum=0, maximum=MAX_CENTS),
        Field("merchant", Kind.STRING),
        Field("country", Kind.STRING),
        Field("priority", Kind.STRING, allowed=("high", "normal")),
    ),
)
PRODUCTS: Final = EventContract(
    "shop.products",
    "product_id",
    (
        *_IDENTITY,
        Field("product_id", Kind.ID),
        Field("category", Kind.STRING),
        Field("brand", Kind.STRING),
        Field("price_cents", Kind.INTEGER, minimum=0, maximum=MAX_CENTS),
        Field("valid_from", Kind.TIME),
    ),
    changelog=True,
)
PROFILES: Final = EventContract(
    "shop.profiles",
    "user_id",
    (
        *_IDENTITY,
        Field("user_id", Kind.ID),
        Field("country", Kind.STRING),
        Field("segment", Kind.STRING),
        Field("valid_from", Kind.TIME),
    ),
    changelog=True,
)

EVENTS: Final = {c.topic: c for c in (CLICKS, PURCHASES, TRANSACTIONS, PRODUCTS, PROFILES)}
"""Contracts by topic, without namespace."""
