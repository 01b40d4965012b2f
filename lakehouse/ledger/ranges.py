"""Kafka's own records: their count and the sum of their hashes by range of offsets.

A log never changes below its end, so a range is read once; `ops.ledger` keeps its sum, which also stands for it when
retention has removed the records.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from lakehouse.contracts.identity import record_hash
from lakehouse.delta import TableMissingError, scan
from lakehouse.kafka.consumer import Record, read_partitions
from lakehouse.settings import Settings

RANGE_OFFSETS: Final = 50_000
"""So many offsets a range has at most: what a difference makes us read again."""
KAFKA: Final = "kafka"
"""The layer of its rows in `ops.ledger`."""
_REPORTED: Final = 10_000

Span = tuple[int, int]
"""First offset, and end (exclusive)."""


@dataclass(frozen=True, slots=True)
class Range:
    """The records of a partition with first <= offset < end."""

    topic: str
    partition: int
    first: int
    end: int
    records: int
    hash_sum: int

    @property
    def dense(self) -> bool:
        """Every offset has a record (there are no control records): then an offset that a table lacks is known to
        be lost, also without Kafka."""
        return self.records == self.end - self.first


def recorded_ranges(
    settings: Settings, topic: str, topic_id: str, ends: Mapping[int, int] | None = None
) -> dict[int, list[Range]]:
    """By partition, what earlier audits have read: ranges in order, up to `ends` at most, or all; see `unread`.

    `topic_id` tells the topic from one of its name that was deleted before or made later, with other records.
    """
    try:
        kept = scan(settings, "ops.ledger")
    except TableMissingError:
        return {}
    rows = (
        kept.filter(layer=KAFKA, topic=topic, topic_id=topic_id)
        .select("partition", "first_offset", "end_offset", "records", pl.col("hash_sum").cast(pl.Int128))
        .unique()
        .collect()
    )
    ranges = [Range(topic, *row) for row in rows.iter_rows()]
    if ends is None:
        ends = {p: max(r.end for r in ranges if r.partition == p) for p in {r.partition for r in ranges}}
    return {partition: list(_apart(partition, ranges, end)) for partition, end in ends.items()}


def _apart(partition: int, ranges: Iterable[Range], end: int) -> Iterator[Range]:
    """Two audits at once may have read overlapping ranges: of those that begin where the last one ended, the
    longest that does not go beyond `end`."""
    reached = 0
    within = (r for r in ranges if r.partition == partition and r.end <= end)
    for each in sorted(within, key=lambda r: (r.first, -r.end)):
        if each.first >= reached:
            yield each
            reached = each.end


def unread(ranges: Iterable[Range], end: int) -> Iterator[Span]:
    """What no audit has read of a partition below `end`: the spans beside its `ranges`, which are in order."""
    reached = 0
    for each in ranges:
        if reached < each.first:
            yield reached, each.first
        reached = each.end
    if reached < end:
        yield reached, end


def spans(first: int, end: int) -> list[Span]:
    """Ranges of `RANGE_OFFSETS` at most from `first` to `end`."""
    return [(start, min(start + RANGE_OFFSETS, end)) for start in range(first, end, RANGE_OFFSETS)]


def read_ranges(
    settings: Settings, topic: str, owed: Mapping[int, Sequence[Span]], progress: Callable[[int], None]
) -> list[Range]:
    """Reads the spans, which are in order within each partition, by a plain consumer.

    `progress` gets the number of records read since its last call.

    Raises:
        ReadError: Kafka no longer has them, or went silent.
        ServiceDownError: Kafka does not answer.
    """
    owed = {p: list(each) for p, each in owed.items() if each}
    if not owed:
        return []
    sums = {p: [[0, 0] for _ in each] for p, each in owed.items()}
    current = dict.fromkeys(owed, 0)
    unreported = 0
    starts, ends = {p: s[0][0] for p, s in owed.items()}, {p: s[-1][1] for p, s in owed.items()}
    for _, partition, offset, _, _, value in read_partitions(settings, topic, starts, ends):
        index = current[partition]
        while offset >= owed[partition][index][1]:
            index += 1
        current[partition] = index
        if offset < owed[partition][index][0]:
            continue
        found = sums[partition][index]
        found[0] += 1
        found[1] += record_hash(topic, partition, offset, value)
        unreported += 1
        if unreported == _REPORTED:
            progress(unreported)
            unreported = 0
    progress(unreported)
    return [
        Range(topic, partition, first, end, records, hash_sum)
        for partition, each in owed.items()
        for (first, end), (records, hash_sum) in zip(each, sums[partition], strict=True)
    ]


def read_records(settings: Settings, ranges: Iterable[Range]) -> Iterator[Record]:
    """The records of some ranges of one topic, for a closer look; raises what `read_ranges` raises.

    One consumer reads the next stretch of every partition, as starting one takes longer than reading a range.
    """
    stretches: dict[int, list[list[int]]] = {}
    topic = ""
    for each in sorted(ranges, key=lambda r: (r.partition, r.first)):
        topic, known = each.topic, stretches.setdefault(each.partition, [])
        if known and known[-1][1] == each.first:
            known[-1][1] = each.end
        else:
            known.append([each.first, each.end])
    while stretches:
        following = {p: known.pop(0) for p, known in stretches.items()}
        stretches = {p: known for p, known in stretches.items() if known}
        starts, ends = ({p: stretch[i] for p, stretch in following.items()} for i in (0, 1))
        yield from read_partitions(settings, topic, starts, ends)
