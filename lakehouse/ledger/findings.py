"""What an audit found: sums by layer, and each record or row that is not as Kafka has it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from lakehouse.escaping import escaped

NAMED: Final = 20
"""So many runs of offsets, or keys, are named of one finding; `Finding.records` counts all."""


class Kind(StrEnum):
    LOST = "lost"
    DOUBLED = "doubled"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True)
class Finding:
    """Records of one partition, or rows of a derived table, with which the same went wrong at the same place.

    `layer`: the table, or `redis.*`, where it happened; what follows from it downstream is not told again.
    `offsets`: their positions; `keys`: of derived rows, their keys as text. `why`: what was seen.
    """

    kind: Kind
    layer: str
    why: str
    topic: str | None = None
    partition: int | None = None
    offsets: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    count: int | None = None
    """How many, where they can't be named one by one."""

    @property
    def records(self) -> int:
        return self.count if self.count is not None else len(self.offsets) + len(self.keys)

    def __str__(self) -> str:
        if self.topic is None:
            named = escaped("; ".join(self.keys[:NAMED])) + ("; ..." if len(self.keys) > NAMED else "")
        else:
            offsets = f" offset{'s'[: len(self.offsets) != 1]} {_runs(self.offsets)}" if self.offsets else ""
            named = f"{self.topic}[{self.partition}]{offsets}"
        return f"{self.records:,} {self.kind} in {self.layer}: {named} ({self.why})"


def _runs(offsets: Iterable[int]) -> str:
    """``3, 7-9, 12`` for 3, 7, 8, 9, 12."""
    runs: list[list[int]] = []
    for offset in sorted(offsets):
        if runs and offset <= runs[-1][1] + 1:
            runs[-1][1] = offset
        else:
            runs.append([offset, offset])
    named = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:NAMED]]
    return ", ".join(named) + (", ..." if len(runs) > NAMED else "")


@dataclass(frozen=True, slots=True)
class Sum:
    """How many records, or events behind rows, a place holds, and the sum of their hashes.

    `first`, `end` (exclusive): the offsets that it covers; None for tables that have no offsets.
    """

    layer: str
    table: str | None
    version: int | None
    records: int
    hash_sum: int
    topic: str | None = None
    partition: int | None = None
    first: int | None = None
    end: int | None = None
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Where a topic's records are: kafka = bronze + dead_letters; bronze = silver + duplicate + superseded.

    `known_lost`: offsets that the ingester had not read when Kafka lost them, as somebody has accepted.
    """

    LAYERS: ClassVar = ("bronze", "dead_letters", "silver", "duplicate", "superseded")

    topic: str
    kafka: int
    bronze: int
    dead_letters: int
    silver: int
    duplicate: int
    superseded: int
    known_lost: int = 0


@dataclass(slots=True)
class Book:
    """What is written down while an audit goes on. `notes`: what was not audited, and why. `lost_before`: by topic, how
    many offsets its ingester is known to have lost before it had read them."""

    sums: list[Sum] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost_before: dict[str, int] = field(default_factory=dict)

    def found(self, kind: Kind, layer: str, topic: str, positions: Iterable[int], why: str) -> None:
        """Adds a finding for each partition of `positions`."""
        by_partition: dict[int, list[int]] = {}
        for position in positions:
            by_partition.setdefault(position >> OFFSET_BITS, []).append(position & ((1 << LOG_SHIFT) - 1))
        for partition, offsets in sorted(by_partition.items()):
            self.findings.append(Finding(kind, layer, why, topic, partition, tuple(sorted(offsets))))

    def count(self, kind: Kind, layer: str, topic: str, partition: int, count: int, why: str) -> None:
        """Adds a finding of records that can't be named one by one."""
        self.findings.append(Finding(kind, layer, why, topic, partition, count=count))


OFFSET_BITS: Final = 48
"""A position as one integer: the partition above so many bits of offset, so that it sorts as (partition, offset)."""
LOG_SHIFT: Final = 44
"""The highest of these bits tell records at the same offset apart, of a topic and of its predecessors."""
