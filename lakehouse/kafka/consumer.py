"""Reading a bounded stretch of a topic with a plain consumer."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from lakehouse.kafka.offsets import EARLIEST, LATEST, list_offsets, partition_counts
from lakehouse.kafka.offsets import TIMEOUT_SECONDS as TIMEOUT_SECONDS
from lakehouse.settings import Settings

STALL_SECONDS: Final = 60.0
"""Without a record for so long, a read gives up."""
_BATCH: Final = 10_000
_FARTHER: Final = 64
_ONE_BY_ONE: Final = {"fetch.message.max.bytes": 64 * 1024, "queued.min.messages": 1}
"""For who wants few records of each of many partitions."""

Place: TypeAlias = tuple[str, int]
"""Topic, without namespace, and partition."""


class Record(NamedTuple):
    """One Kafka record. `topic` is without namespace; `arrival_ms` is its LogAppendTime."""

    topic: str
    partition: int
    offset: int
    arrival_ms: int
    key: bytes | None
    value: bytes | None


class ReadError(RuntimeError):
    """Kafka could not deliver what was asked for."""


class NoSuchTopicError(ReadError):
    """There is no topic of this name (with namespace)."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic}; lakehouse produce and lakehouse catalog refresh create it")


def build_consumer(settings: Settings, group: str = "reader", **config: object) -> Consumer:
    """A consumer that commits only when told to, starting where it is assigned.

    It never resets silently: offsets that retention has removed are an error.
    """
    return Consumer(consumer_configuration(settings, group, **config))


def consumer_configuration(settings: Settings, group: str, **config: object) -> dict[str, object]:
    """What `build_consumer` says of its consumer, for those who build another kind."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": settings.prefixed(group),
        "enable.auto.commit": False,
        # librdkafka's default, said because all rests on it: an aborted transaction's record is no record.
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": 65_536,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
        "log_level": 2,
        **config,
    }


def offset_range(settings: Settings, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """Where each partition of `topic` begins and ends, now: the first offset that Kafka keeps, and the one after the
    last record that can be read.

    Beyond the end may lie control records and aborted ones, for which nobody need wait, and what a transaction that is
    open has written, which comes later or never.

    Raises:
        ReadError: no such topic, or Kafka went silent.
        ServiceDownError: Kafka does not answer.
    """
    return offset_ranges(settings, [topic])[topic]


def offset_ranges(settings: Settings, topics: Collection[str]) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
    """`offset_range` of several topics, for the price of one."""
    stable = stable_ranges(settings, topics)
    ends = record_ends(
        settings, {(topic, p): (low[p], end) for topic, (low, high) in stable.items() for p, end in high.items()}
    )
    return {topic: (low, {p: ends[topic, p] for p in high}) for topic, (low, high) in stable.items()}


def end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """Where each partition of `topic` ends (exclusive), now; see `offset_range`."""
    return offset_range(settings, topic)[1]


def stable_ranges(settings: Settings, topics: Collection[str]) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
    """The first offset of each partition and the last stable one (exclusive), of each topic: nothing that is committed
    later lies below it. Its last records may be none: `offset_ranges` says where they end. Raises as that does.
    """
    counts = partition_counts(settings)
    partitions = []
    for name in map(settings.prefixed, topics):
        if not counts.get(name):
            raise NoSuchTopicError(name)
        partitions += [TopicPartition(name, p) for p in range(counts[name])]
    first = list_offsets(settings, partitions, EARLIEST)
    end = list_offsets(settings, partitions, LATEST)
    return {topic: (_of(settings, topic, first), _of(settings, topic, end)) for topic in topics}


def _of(settings: Settings, topic: str, offsets: Mapping[tuple[str, int], int]) -> dict[int, int]:
    """Those of one topic, by partition."""
    return {p: offset for (name, p), offset in offsets.items() if name == settings.prefixed(topic)}


def record_ends(settings: Settings, ranges: Mapping[Place, tuple[int, int]]) -> dict[Place, int]:
    """Of each partition the offset after its last record in ``[first, end)``, or `first` if there is none.

    `ranges` by topic (without namespace) and partition; each `end` is a stable one. Nearly always the last offset is
    a record and one look tells; where it is not, each further look goes farther back.

    Raises:
        ReadError: Kafka went silent for `STALL_SECONDS`.
    """
    ends = {place: first for place, (first, _) in ranges.items()}
    unknown = {place: bounds for place, bounds in ranges.items() if bounds[0] < bounds[1]}
    back = 1
    while unknown:
        looked = {place: (max(first, end - back), end) for place, (first, end) in unknown.items()}
        for topic, partition, offset, *_ in _read(settings, looked, **_ONE_BY_ONE):
            ends[topic, partition] = offset + 1
        unknown = {
            place: bounds
            for place, bounds in unknown.items()
            if ends[place] == bounds[0] and looked[place][0] > bounds[0]
        }
        back *= _FARTHER
    return ends


def count_records(settings: Settings, ranges: Mapping[Place, tuple[int, int]]) -> Counter[Place]:
    """How many records can be read in ``[first, end)`` of each partition; raises as `record_ends`, and where retention
    has removed them."""
    return Counter((topic, partition) for topic, partition, *_ in _read(settings, ranges))


def read_partitions(
    settings: Settings,
    topic: str,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> Iterator[Record]:
    """Records of each partition from `start` (inclusive) to `end` (exclusive), in offset order per partition.

    Partitions interleave. A partition missing from `start` is read from its beginning; one missing from a given
    `end` is not read. Without `end`, all partitions are read to where they end at the call.

    Raises:
        ReadError: the offsets no longer exist, or Kafka went silent for `STALL_SECONDS`.
        ServiceDownError: Kafka does not answer.
    """
    low, high = stable_ranges(settings, [topic])[topic]
    stops = {p: min(stop, high[p]) for p, stop in (high if end is None else end).items()}
    starts = {p: (start or {}).get(p, low[p]) for p in stops}
    for p, first in starts.items():
        if first < low[p] and first < stops[p]:
            raise ReadError(f"{topic} partition {p}: offset {first} was removed by retention, first is {low[p]}")
    yield from _read(settings, {(topic, p): (starts[p], stop) for p, stop in stops.items()})


def _read(settings: Settings, ranges: Mapping[Place, tuple[int, int]], **config: object) -> Iterator[Record]:
    """The records of ``[start, stop)`` of each partition; raises ReadError as `read_partitions`."""
    owed = {place: bounds for place, bounds in ranges.items() if bounds[0] < bounds[1]}
    if not owed:
        return
    topics = {settings.prefixed(topic): topic for topic, _ in owed}
    consumer = Consumer(consumer_configuration(settings, "reader", **config))
    try:
        consumer.assign(
            [TopicPartition(settings.prefixed(t), p, start or OFFSET_BEGINNING) for (t, p), (start, _) in owed.items()]
        )
        last_record = time.monotonic()
        while owed:
            # No more than can come: for what can't, the call would wait.
            messages = consumer.consume(min(_BATCH, sum(stop - next_ for next_, stop in owed.values())), timeout=0.5)
            if messages:
                last_record = time.monotonic()
            elif time.monotonic() - last_record > STALL_SECONDS:
                still = ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(owed))
                raise ReadError(f"no record of {still} within {STALL_SECONDS:.0f} s")
            for message in messages:
                # Every message that comes from a partition, and its end, has all three.
                topic = topics[cast(str, message.topic())]
                partition, offset = cast(int, message.partition()), cast(int, message.offset())
                place = topic, partition
                if error := message.error():
                    # The end of the log: offsets before it may be gaps (control records), nothing more comes.
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise ReadError(f"{topic}: {error.str()}")
                    owed.pop(place, None)
                elif place in owed:
                    stop = owed[place][1]
                    if offset + 1 < stop:
                        owed[place] = offset + 1, stop
                    else:
                        del owed[place]
                    if offset < stop:
                        yield Record(topic, partition, offset, message.timestamp()[1], message.key(), message.value())
    finally:
        consumer.close()
