"""From Kafka records to events: validity, identity and the accounting of every record."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.validation import Valid, validate
from lakehouse.semantics.events import EVENT_TYPES, Event, Events, identity
from lakehouse.semantics.lateness import Lateness, PartitionWatermark


class KafkaRecord(Protocol):
    """One record of a topic (named without namespace); `arrival_ms` is its LogAppendTime."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def arrival_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class DeadLetter(NamedTuple):
    """A record that is not valid, with the first failed rule and the field that failed it, if one did."""

    topic: str
    partition: int
    offset: int
    arrival: int
    reason: str
    field: str | None
    record_hash: int


@dataclass(slots=True)
class TopicAccount:
    """Where the records of a topic went: read = used + duplicate + dead; used = on time + late + very late."""

    read: int = 0
    used: int = 0
    duplicate: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""
    lateness: Counter[Lateness] = field(default_factory=Counter)
    """Used records by lateness."""

    @property
    def dead_letters(self) -> int:
        return self.dead.total()

    @property
    def on_time(self) -> int:
        return self.lateness[Lateness.ON_TIME]

    @property
    def late(self) -> int:
        return self.lateness[Lateness.LATE]

    @property
    def very_late(self) -> int:
        return self.lateness[Lateness.VERY_LATE]

    @property
    def balanced(self) -> bool:
        return self.read == self.used + self.duplicate + self.dead_letters and self.used == self.lateness.total()


@dataclass(slots=True)
class EventLog:
    """Kafka's records, read: the events to compute from, what was no event, and where each record went."""

    events: Events = field(default_factory=Events)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    accounts: dict[str, TopicAccount] = field(default_factory=dict)
    """By topic."""


def parse(record: KafkaRecord) -> Event | DeadLetter:
    """The event that a record holds, or why it holds none (docs/events.md, The rule)."""
    hashed = record_hash(record.topic, record.partition, record.offset, record.value)
    verdict = validate(record.topic, record.key, record.value, record.arrival_ms)
    if isinstance(verdict, Valid):
        position = (record.topic, record.partition, record.offset, record.arrival_ms, hashed)
        return EVENT_TYPES[record.topic]._make((*verdict.fields.values(), *position))
    return DeadLetter(
        record.topic, record.partition, record.offset, record.arrival_ms, verdict.reason, verdict.field, hashed
    )


def read_events(records: Iterable[KafkaRecord]) -> EventLog:
    """Reads records that come in any order of topics and partitions."""
    return assemble(parse(record) for record in records)


def assemble(parsed: Iterable[Event | DeadLetter]) -> EventLog:
    """Accounts for every record and keeps one of each event: the lowest (partition, offset) wins.

    Order them by (partition, offset) here, so that the result doesn't depend on the reader's interleaving.
    """
    log = EventLog()
    seen: set[tuple[str, str, str, int]] = set()
    watermarks: dict[tuple[str, int], PartitionWatermark] = {}
    for item in sorted(parsed, key=lambda e: (e.topic, e.partition, e.offset)):
        account = log.accounts.setdefault(item.topic, TopicAccount())
        account.read += 1
        if isinstance(item, DeadLetter):
            account.dead[item.reason] += 1
            log.dead_letters.append(item)
            continue
        watermark = watermarks.setdefault((item.topic, item.partition), PartitionWatermark())
        lateness = watermark.observe(item.event_time)
        who = identity(item)
        if who in seen:
            account.duplicate += 1
            continue
        seen.add(who)
        account.used += 1
        account.lateness[lateness] += 1
        log.events.add(item)
    return log
