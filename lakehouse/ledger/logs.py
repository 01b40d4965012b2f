"""The logs that a topic's name has stood for: its own, and before it those of topics that were deleted.

Tables hold the records of all of them, which may lie at the same offsets. They are told apart by their arrival: all
records of a topic arrived before those of the one that was made after it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from lakehouse.ledger.findings import LOG_SHIFT, OFFSET_BITS
from lakehouse.ledger.ranges import Range, Span, recorded_ranges
from lakehouse.ledger.routes import Route
from lakehouse.ledger.tables import POSITION
from lakehouse.losses import KnownLoss
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Log:
    """What Kafka holds, or has held, under a topic's name and one id.

    `ranges` are in the order of their positions. `retained`: the first offset of each partition
    that Kafka still has. `log_ends`: where the log ended after the tables were pinned. `number`: 0 of the topic itself,
    more the older. Its records arrived at `since` or later, and before `before`. `lost`: by job, the spans of each
    partition that it is known to lack.
    """

    ranges: Sequence[Range]
    ends: Mapping[int, int]
    log_ends: Mapping[int, int]
    retained: Mapping[int, int]
    number: int = 0
    since: datetime | None = None
    before: datetime | None = None
    lost: Mapping[str, Mapping[int, Sequence[Span]]] = field(default_factory=dict)

    def of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Those among a table's rows that are its records, or made of one."""
        if self.since is not None:
            rows = rows.filter(pl.col("arrival") >= self.since)
        return rows if self.before is None else rows.filter(pl.col("arrival") < self.before)

    @property
    def position(self) -> pl.Expr:
        """Of a row: where its record lies, as an integer that no record of another log has."""
        return (POSITION + (self.number << LOG_SHIFT)).alias("position")

    def at(self, partition: int, offset: int) -> int:
        """`position` of one record."""
        return (partition << OFFSET_BITS) + (self.number << LOG_SHIFT) + offset

    def known_lost(self, job: str) -> pl.Series:
        """The positions that `job` is known to lack."""
        spans = self.lost.get(job, {})
        found = [
            pl.int_range(self.at(p, first), self.at(p, end), eager=True)
            for p, each in spans.items()
            for first, end in each
        ]
        return pl.concat(found).unique() if found else pl.Series(dtype=pl.Int64)


def logs_before(settings: Settings, route: Route, known: Sequence[KnownLoss]) -> Iterator[Log]:
    """The logs of the topic's predecessors, oldest first, as far as earlier audits have read them."""
    deleted: dict[str, datetime] = {}
    for each in known:
        if each.arrived_before is not None and each.loss.topic_id is not None:
            deleted[each.loss.topic_id] = each.arrived_before
    since = None
    for index, (topic_id, before) in enumerate(sorted(deleted.items(), key=lambda item: item[1])):
        recorded = recorded_ranges(settings, route.topic, topic_id)
        ranges = [r for partition in sorted(recorded) for r in recorded[partition]]
        ends = {p: of_partition[-1].end for p, of_partition in recorded.items() if of_partition}
        lost = spans_lost(known, topic_id, ends)
        yield Log(ranges, ends, ends, ends, len(deleted) - index, since, before, lost)
        since = before


def spans_lost(known: Sequence[KnownLoss], topic_id: str, ends: Mapping[int, int]) -> dict[str, dict[int, list[Span]]]:
    """By job and partition, what is known to be lost of the topic with this id; what nobody knows the end of, up to
    `ends`."""
    found: dict[str, dict[int, list[Span]]] = {}
    for each in known:
        loss = each.loss
        if loss.topic_id == topic_id and loss.first is not None:
            end = ends.get(loss.partition, 0) if loss.end is None else loss.end
            if loss.first < end:
                found.setdefault(each.job, {}).setdefault(loss.partition, []).append((loss.first, end))
    return found
