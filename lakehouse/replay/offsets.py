"""Where in Kafka's partitions the events of a replay lie."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Final

import polars as pl
from confluent_kafka import TopicPartition

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import DEAD_LETTERS
from lakehouse.delta import TableMissingError, scan
from lakehouse.kafka.consumer import read_partitions
from lakehouse.kafka.offsets import EARLIEST, LATEST, LOOKBACK, list_offsets, offsets_at, partition_counts
from lakehouse.replay.request import Clock, Request
from lakehouse.settings import Settings

EARLY: Final = timedelta(minutes=5)
"""How far an event's own time may lie after its arrival."""


class Source(StrEnum):
    """Who knew the offsets."""

    KAFKA = "kafka"
    """Kafka's time index."""
    BRONZE = "bronze"
    """Bronze at the plan's version: retention has removed records of the range."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Of one partition: the offsets [first, end) that may hold the range, by `source`, and where Kafka begins today."""

    first: int
    end: int
    kafka_begins: int
    source: Source = Source.KAFKA


def find_offsets(
    settings: Settings, request: Request, chosen: Mapping[str, pl.DataFrame]
) -> dict[str, dict[int, Offsets]]:
    """By topic and partition. `chosen`: of the events of the range, by topic, partition and offset as bronze has them.

    Raises ServiceDownError: Kafka does not answer.
    """
    counts = partition_counts(settings)
    held = {topic: _extents(events) for topic, events in chosen.items()}
    return {
        topic: _of_topic(settings, request, topic, counts.get(settings.prefixed(topic), 0), held.get(topic, {}))
        for topic in request.topics
    }


def _extents(events: pl.DataFrame) -> dict[int, tuple[int, int]]:
    """By partition, the offsets [first, end) of events."""
    found = events.group_by("partition").agg(pl.min("offset"), end=pl.max("offset") + 1)
    return {partition: (first, end) for partition, first, end in found.iter_rows()}


def _of_topic(
    settings: Settings, request: Request, topic: str, partitions: int, held: Mapping[int, tuple[int, int]]
) -> dict[int, Offsets]:
    if not partitions:
        return {p: Offsets(first, end, end, Source.BRONZE) for p, (first, end) in sorted(held.items())}
    full = settings.prefixed(topic)
    asked = [TopicPartition(full, number) for number in range(partitions)]
    early = LOOKBACK if request.clock is Clock.ARRIVAL else EARLY + LOOKBACK
    # By event time the end is open: however late an event comes, it belongs to the range.
    by_arrival = request.clock is Clock.ARRIVAL
    earliest = list_offsets(settings, asked, EARLIEST)
    first = offsets_at(settings, asked, request.start - early)
    end = offsets_at(settings, asked, request.end + LOOKBACK) if by_arrival else list_offsets(settings, asked, LATEST)
    places = [(full, p) for p in range(partitions)]
    return {at[1]: known((first[at], end[at]), earliest[at], held.get(at[1])) for at in places}


def known(by_kafka: tuple[int, int], kafka_begins: int, held: tuple[int, int] | None) -> Offsets:
    """The offsets of a partition, from what Kafka's time index says and from those that bronze holds of the range."""
    first, end = by_kafka
    if held is None:
        return Offsets(first, end, kafka_begins)
    if held[0] < kafka_begins:
        # Of a time before all that it holds, the index says that everything is later.
        return Offsets(held[0], end if end > kafka_begins else held[1], kafka_begins, Source.BRONZE)
    return Offsets(min(first, held[0]), end, kafka_begins)


def missing_from_bronze(
    settings: Settings, topic: str, offsets: Mapping[int, Offsets], bounds: Mapping[int, int], since: datetime
) -> dict[int, list[int]]:
    """By partition, the offsets up to `bounds` of which Kafka still has a record and bronze and the dead letters have
    none. Nothing of what arrived before `since` is looked at.

    Raises ReadError, ServiceDownError: as `lakehouse.kafka.consumer.read_partitions`.
    """
    ranges = {
        p: (max(found.first, found.kafka_begins), min(found.end, bounds[p] + 1))
        for p, found in offsets.items()
        if p in bounds
    }
    names = (f"bronze.{EVENTS[topic].table}", DEAD_LETTERS)
    rows = pl.concat([_positions(settings, name, topic, since, ranges) for name in names])
    missing = {}
    for p, (first, end) in ranges.items():
        held = rows.filter(pl.col("partition") == p)["offset"]
        if len(held) >= end - first:
            continue
        offsets_of = pl.int_range(first, end, eager=True)
        gone = set(offsets_of.filter(~offsets_of.is_in(held.implode())))
        # Of an offset without a record, a control record's, nothing is missing.
        there = read_partitions(settings, topic, {p: min(gone)}, {p: max(gone) + 1})
        if lost := sorted(gone & {record.offset for record in there}):
            missing[p] = lost
    return missing


def _positions(
    settings: Settings, name: str, topic: str, since: datetime, ranges: Mapping[int, tuple[int, int]]
) -> pl.DataFrame:
    partition, offset = pl.col("partition"), pl.col("offset")
    inside: Iterable[pl.Expr] = (
        (partition == p) & offset.is_between(first, end, closed="left") for p, (first, end) in ranges.items()
    )
    try:
        rows = scan(settings, name)
    except TableMissingError:
        return pl.DataFrame(schema={"partition": pl.Int32, "offset": pl.Int64})
    of_topic = rows.filter(pl.col("arrival_date") >= since.date(), pl.col("topic") == topic)
    return of_topic.filter(reduce(or_, inside, pl.lit(False))).select("partition", "offset").unique().collect()
