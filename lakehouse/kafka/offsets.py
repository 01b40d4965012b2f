"""Where partitions begin, and where what may be read of them ends: at the first record of an open transaction."""

import json
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from lakehouse.contracts.times import milliseconds
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

TIMEOUT_SECONDS: Final = 20.0
SETTLING_SECONDS: Final = 60.0
_ATTEMPT_SECONDS: Final = 3.0
EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
LOOKBACK: Final = timedelta(minutes=1)
"""A broker's clock may step back: a record of a time may have been appended after a later one."""

# A broker confirms a topic's creation, and knows its leader, before it serves it; and a leader moves.
_SETTLING: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TIMED_OUT,
    KafkaError._NOENT,  # what it says where a partition has no leader yet
)
_DOWN: Final = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE)


def admin_client(settings: Settings) -> AdminClient:
    """Keep it while its answers are awaited: they end with it."""
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})


def check_listening(settings: Settings) -> None:
    """Find out at once whether anybody listens; the client would try for as long as its timeout.

    Raises:
        ServiceDownError: nobody does.
    """
    try:
        socket.create_connection((settings.host, settings.kafka_port), timeout=TIMEOUT_SECONDS).close()
    except OSError as error:
        raise ServiceDownError("kafka", settings.kafka_bootstrap) from error


def partition_counts(settings: Settings) -> dict[str, int]:
    """Partitions of each topic, by its full name.

    Raises:
        ServiceDownError: Kafka does not answer.
    """
    check_listening(settings)
    try:
        topics = admin_client(settings).list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise explained(error, settings) from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def list_offsets(
    settings: Settings, partitions: Sequence[TopicPartition], spec: OffsetSpec
) -> dict[tuple[str, int], int]:
    """The offset that `spec` means in each partition, for those who read what is committed; waits for partitions that
    aren't served yet.

    `LATEST` is the last stable offset: no transaction is open below it.

    Raises:
        ServiceDownError: Kafka does not answer.
        KafkaException: a partition isn't served within `SETTLING_SECONDS`.
    """
    return {place: found.offset for place, found in _list_offsets(settings, partitions, spec).items()}


def first_arrivals(settings: Settings, topic: str) -> dict[int, int]:
    """When the first record that each partition still has arrived, in epoch milliseconds; nothing for one without any.

    Raises what `list_offsets` raises.
    """
    name = settings.prefixed(topic)
    partitions = [TopicPartition(name, p) for p in range(partition_counts(settings).get(name, 0))]
    found = _list_offsets(settings, partitions, OffsetSpec.for_timestamp(0))
    return {partition: first.timestamp for (_, partition), first in found.items() if first.offset >= 0}


def _list_offsets(
    settings: Settings, partitions: Sequence[TopicPartition], spec: OffsetSpec
) -> dict[tuple[str, int], ListOffsetsResultInfo]:
    asked = dict.fromkeys(partitions, spec)
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        # A client of its own for each attempt: one that has met a topic without a leader remembers that for long.
        admin = admin_client(settings)
        try:
            futures = admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ATTEMPT_SECONDS
            )
            return {(p.topic, p.partition): future.result() for p, future in futures.items()}
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING or time.monotonic() > deadline:
                raise explained(error, settings) from error
        time.sleep(0.05)


def offsets_at(settings: Settings, partitions: Sequence[TopicPartition], at: datetime) -> dict[tuple[str, int], int]:
    """By each partition's time index, the first offset that was appended `at` this time or later; its end where none
    was. Raises what `list_offsets` raises."""
    found = list_offsets(settings, partitions, OffsetSpec.for_timestamp(max(0, milliseconds(at))))
    latest = list_offsets(settings, partitions, LATEST)
    return {place: offset if offset >= 0 else latest[place] for place, offset in found.items()}


def explained(error: KafkaException, settings: Settings) -> Exception:
    """`error`, or what it means where Kafka doesn't answer."""
    if error.args[0].code() in _DOWN:
        return ServiceDownError("kafka", settings.kafka_bootstrap)
    return error


def parse_offsets(stored: Mapping[str, Mapping[str, int]]) -> dict[str, dict[int, int]]:
    """Offsets by topic and partition as JSON has them: with partitions as text."""
    return {topic: {int(p): offset for p, offset in partitions.items()} for topic, partitions in stored.items()}


def spark_offsets(settings: Settings, offsets: Mapping[str, Mapping[int, int]]) -> str:
    """Offsets by topic (without namespace) and partition as Spark's Kafka source wants them."""
    return json.dumps(
        {settings.prefixed(topic): {str(p): offset for p, offset in known.items()} for topic, known in offsets.items()}
    )
