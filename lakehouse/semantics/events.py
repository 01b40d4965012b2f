"""De-duplicated events, as the metrics read them.

Each class has the payload's fields in the contract's order, then the record's position, arrival and hash:
the first columns of its silver table, in their order. Times are milliseconds since the epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from lakehouse.contracts.events import CLICKS, PRODUCTS, PROFILES, PURCHASES, TRANSACTIONS


class Click(NamedTuple):
    event_id: str
    event_time: int
    user_id: str
    product_id: str | None
    action: str
    page: str
    region: str
    topic: str
    partition: int
    offset: int
    arrival: int
    record_hash: int


class Purchase(NamedTuple):
    event_id: str
    event_time: int
    user_id: str
    product_id: str
    quantity: int
    amount_cents: int
    currency: str
    region: str
    topic: str
    partition: int
    offset: int
    arrival: int
    record_hash: int


class Transaction(NamedTuple):
    event_id: str
    event_time: int
    user_id: str
    amount_cents: int
    merchant: str
    country: str
    priority: str
    topic: str
    partition: int
    offset: int
    arrival: int
    record_hash: int


class ProductVersion(NamedTuple):
    event_id: str
    event_time: int
    product_id: str
    category: str
    brand: str
    price_cents: int
    valid_from: int
    topic: str
    partition: int
    offset: int
    arrival: int
    record_hash: int


class ProfileVersion(NamedTuple):
    event_id: str
    event_time: int
    user_id: str
    country: str
    segment: str
    valid_from: int
    topic: str
    partition: int
    offset: int
    arrival: int
    record_hash: int


Event: TypeAlias = Click | Purchase | Transaction | ProductVersion | ProfileVersion

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    CLICKS.topic: Click,
    PURCHASES.topic: Purchase,
    TRANSACTIONS.topic: Transaction,
    PRODUCTS.topic: ProductVersion,
    PROFILES.topic: ProfileVersion,
}
"""The class of each topic's events."""


@dataclass(slots=True)
class Events:
    """What metrics are computed from: de-duplicated events of each topic, in any order."""

    clicks: list[Click] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    products: list[ProductVersion] = field(default_factory=list)
    profiles: list[ProfileVersion] = field(default_factory=list)

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Events":
        """Sorts `events` by kind, keeping their order."""
        result = cls()
        for event in events:
            result.add(event)
        return result

    def add(self, event: Event) -> None:
        match event:
            case Click():
                self.clicks.append(event)
            case Purchase():
                self.purchases.append(event)
            case Transaction():
                self.transactions.append(event)
            case ProductVersion():
                self.products.append(event)
            case ProfileVersion():
                self.profiles.append(event)

    def of_topic(self, topic: str) -> list[Event]:
        """The events of one topic."""
        by_topic: dict[str, list[Event]] = {
            CLICKS.topic: self.clicks,  # type: ignore[dict-item]
            PURCHASES.topic: self.purchases,  # type: ignore[dict-item]
            TRANSACTIONS.topic: self.transactions,  # type: ignore[dict-item]
            PRODUCTS.topic: self.products,  # type: ignore[dict-item]
            PROFILES.topic: self.profiles,  # type: ignore[dict-item]
        }
        return by_topic[topic]


def key_of(event: Event) -> str:
    """The record key that a valid event's record has: its contract's key field."""
    return event.product_id if isinstance(event, ProductVersion) else event.user_id


def identity(event: Event) -> tuple[str, str, str, int]:
    """What makes two records the same event: (topic, record key, event_id, event_time) (docs/semantics.md, Events)."""
    return event.topic, key_of(event), event.event_id, event.event_time
