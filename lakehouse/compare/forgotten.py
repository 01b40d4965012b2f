"""Records that Kafka has forgotten and no comparison had read, from the raw values that bronze and the dead letters
keep: they stand for Kafka's where their hashes add up to the sums that the ledger took of Kafka itself.

The hash is of position and value; key and arrival are believed.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from lakehouse.compare.judged import Segment, write_segment
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.tables import DEAD_LETTERS
from lakehouse.delta import TableMissingError, scan
from lakehouse.kafka.consumer import Record, stable_ranges
from lakehouse.ledger.ranges import Range, Span, recorded_ranges, unread
from lakehouse.settings import Settings

STRETCH_OFFSETS: Final = 200_000
"""So many are read from bronze at once, or one range."""


@dataclass(frozen=True, slots=True)
class Unproved:
    """Records of one partition with first <= offset < end, of which nobody can say any more that Kafka had them so."""

    topic: str
    partition: int
    first: int
    end: int
    records: int
    why: str

    def __str__(self) -> str:
        where = f"{self.topic}[{self.partition}] offsets {self.first}-{self.end - 1}"
        return f"{where}, {self.records:,} records: {self.why}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is read from bronze at once, and the `segment` that it becomes. `spans`: all of it in order, with its range
    where an audit has read Kafka's; a range may begin before the segment and end after it."""

    segment: Segment
    spans: tuple[tuple[Span, Range | None], ...]

    def write(self, settings: Settings) -> tuple[Segment, list[Unproved]]:
        """Judges it; what holds anything unproved lies in a file that no later comparison takes.

        Raises ServiceDownError.
        """
        segment = self.segment
        topic, partition = segment.topic, segment.partition
        records = list(_stored(settings, topic, partition, self.spans[0][0][0], self.spans[-1][0][1]))
        offsets = [record.offset for record in records]
        unproved = []
        for (first, end), known in self.spans:
            held = records[bisect_left(offsets, first) : bisect_left(offsets, end)]
            if known is None:
                why = "retention removed them before any audit had read them" if held else None
            elif (len(held), sum(_hash(r) for r in held)) == (known.records, known.hash_sum):
                why = None
            else:
                why = f"the ledger took the sum of {known.records:,} from Kafka, and bronze's values don't add up to it"
            if why:
                unproved.append(Unproved(topic, partition, first, end, len(held), why))
        if unproved:
            segment = replace(segment, path=segment.path.with_suffix(".unproved"))
        write_segment(topic, (r for r in records if segment.start <= r.offset < segment.end), segment.path)
        return segment, unproved


def _hash(record: Record) -> int:
    return record_hash(record.topic, record.partition, record.offset, record.value)


def _stored(settings: Settings, topic: str, partition: int, first: int, end: int) -> Iterator[Record]:
    """The records that bronze and the dead letters hold of a span, by offset; of an offset that is there twice, one."""
    where = (pl.col("topic") == topic) & (pl.col("partition") == partition)
    where &= pl.col("offset").is_between(first, end, closed="left")
    found = []
    for name, key in ((f"bronze.{EVENTS[topic].table}", EVENTS[topic].key), (DEAD_LETTERS, "key")):
        try:
            rows = scan(settings, name).filter(where)
        except TableMissingError:
            continue
        arrival = pl.col("arrival").dt.epoch("ms")
        found.append(rows.select("offset", arrival, pl.col(key).cast(pl.Binary).alias("key"), "value").collect())
    if found:
        for row in pl.concat(found).unique("offset").sort("offset").iter_rows():
            yield Record(topic, partition, *row)


def stretches(settings: Settings, topic_ids: Mapping[str, str], owed: Sequence[Segment]) -> list[Stretch]:
    """What Kafka has forgotten of the `owed` segments, of which a partition has one, up to where Kafka begins or later.

    Raises ReadError, ServiceDownError.
    """
    if not owed:
        return []
    of_kafka = stable_ranges(settings, {segment.topic for segment in owed})
    retained = {topic: low for topic, (low, _) in of_kafka.items()}
    gone = [segment for segment in owed if segment.start < retained[segment.topic][segment.partition]]
    ranges = {topic: recorded_ranges(settings, topic, topic_ids[topic]) for topic in {s.topic for s in gone}}
    return [
        stretch
        for s in gone
        for stretch in _cut(s, ranges[s.topic].get(s.partition, []), retained[s.topic][s.partition])
    ]


def _cut(owed: Segment, ranges: Sequence[Range], retained: int) -> Iterator[Stretch]:
    until = min(retained, owed.end)
    of_gone = [r for r in ranges if r.first < until and r.end > owed.start]
    beside = [(max(first, owed.start), end) for first, end in unread(of_gone, until) if end > owed.start]
    spans: list[tuple[Span, Range | None]] = [*(((r.first, r.end), r) for r in of_gone), *((s, None) for s in beside)]
    spans.sort(key=lambda each: each[0])
    start, first = owed.start, 0
    for index, ((_, end), _known) in enumerate(spans):
        last = index == len(spans) - 1
        if last or spans[index + 1][0][1] - start > STRETCH_OFFSETS:
            stop = min(end, owed.end)
            path = owed.path.with_name(f"{start}-{stop}.arrow")
            yield Stretch(replace(owed, start=start, end=stop, path=path), tuple(spans[first : index + 1]))
            start, first = stop, index + 1
