"""Reading a bounded stretch of a topic with a plain consumer."""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from lakehouse.kafka.offsets import EARLIEST, LATEST, list_offsets, partition_counts
from lakehouse.kafka.offsets import TIMEOUT_SECONDS as TIMEOUT_SECONDS
from lakehouse.settings import Settings

STALL_SECONDS: Final = 60.0
"""Without a record for so long, a read gives up."""
_BATCH: Final = 10_000


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
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": 65_536,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
        "log_level": 2,
        **config,
    }


def offset_range(settings: Settings, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """First and end offsets (exclusive) of each partition of `topic`, now.

    Raises:
        ReadError: no such topic.
        ServiceDownError: Kafka does not answer.
    """
    return offset_ranges(settings, [topic])[topic]


def offset_ranges(settings: Settings, topics: Collection[str]) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
    """`offset_range` of several topics, for the price of one."""
    counts = partition_counts(settings)
    partitions = []
    for name in map(settings.prefixed, topics):
        if not counts.get(name):
            raise ReadError(f"there is no topic {name}; lakehouse produce and lakehouse catalog refresh create it")
        partitions += [TopicPartition(name, p) for p in range(counts[name])]
    first = list_offsets(settings, partitions, EARLIEST)
    end = list_offsets(settings, partitions, LATEST)
    return {topic: (_of(settings, topic, first), _of(settings, topic, end)) for topic in topics}


def _of(settings: Settings, topic: str, offsets: Mapping[tuple[str, int], int]) -> dict[int, int]:
    """Those of one topic, by partition."""
    return {p: offset for (name, p), offset in offsets.items() if name == settings.prefixed(topic)}


def end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """The end offset (exclusive) of each partition of `topic`, now; see `offset_range` for errors."""
    return offset_range(settings, topic)[1]


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
    low, high = offset_range(settings, topic)
    stops = {p: min(stop, high[p]) for p, stop in (high if end is None else end).items()}
    starts = {p: (start or {}).get(p, low[p]) for p in stops}
    open_partitions = {p for p in stops if starts[p] < stops[p]}
    for p in open_partitions:
        if starts[p] < low[p]:
            raise ReadError(f"{topic} partition {p}: offset {starts[p]} was removed by retention, first is {low[p]}")
    if not open_partitions:
        return
    name = settings.prefixed(topic)
    consumer = build_consumer(settings)
    try:
        consumer.assign([TopicPartition(name, p, starts[p] or OFFSET_BEGINNING) for p in open_partitions])
        last_record = time.monotonic()
        while open_partitions:
            messages = consumer.consume(_BATCH, timeout=0.5)
            if messages:
                last_record = time.monotonic()
            elif time.monotonic() - last_record > STALL_SECONDS:
                raise ReadError(
                    f"{topic}: no record within {STALL_SECONDS:.0f} s, partitions {sorted(open_partitions)}"
                )
            for message in messages:
                # Every message that comes from a partition, and its end, has both.
                partition, offset = cast(int, message.partition()), cast(int, message.offset())
                if error := message.error():
                    # The end of the log: offsets before it may be gaps (control records), nothing more comes.
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise ReadError(f"{topic}: {error.str()}")
                    open_partitions.discard(partition)
                elif partition in open_partitions:
                    if offset + 1 >= stops[partition]:
                        open_partitions.discard(partition)
                    if offset < stops[partition]:
                        yield Record(topic, partition, offset, message.timestamp()[1], message.key(), message.value())
    finally:
        consumer.close()
