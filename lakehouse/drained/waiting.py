"""How long the records that a consumer owes have waited."""

import time
from collections.abc import Iterable
from typing import Final, cast

from confluent_kafka import KafkaError, TopicPartition

from lakehouse.drained.positions import Lag
from lakehouse.kafka.consumer import ReadError, build_consumer
from lakehouse.settings import Settings

TIMEOUT_SECONDS: Final = 10.0


def oldest_owed(settings: Settings, lags: Iterable[Lag]) -> float | None:
    """Epoch seconds at which Kafka took the oldest record that one consumer owes; None if it owes none.

    `lags` are of one consumer. Of each partition one record is read: the next one that is owed.

    Raises:
        ReadError: Kafka did not deliver it in time, or retention has removed it meanwhile.
    """
    owed = {(each.topic, each.partition): max(each.start, each.position or 0) for each in lags if each.lag}
    if not owed:
        return None
    # A fetch brings a stretch of the log, of which only the first record matters.
    consumer = build_consumer(settings, "reader", **{"fetch.message.max.bytes": 64 * 1024, "queued.min.messages": 1})
    arrivals: list[float] = []
    waiting = {(settings.prefixed(topic), partition) for topic, partition in owed}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    try:
        consumer.assign([TopicPartition(settings.prefixed(topic), p, offset) for (topic, p), offset in owed.items()])
        while waiting:
            if time.monotonic() > deadline:
                raise ReadError(f"no record of {', '.join(sorted({name for name, _ in waiting}))} came in time")
            message = consumer.poll(0.2)
            if message is None:
                continue
            if (error := message.error()) and error.code() != KafkaError._PARTITION_EOF:
                raise ReadError(error.str())
            place = cast(str, message.topic()), cast(int, message.partition())
            if place in waiting:
                waiting.discard(place)
                consumer.pause([TopicPartition(*place)])
                if not error:  # at the end there may be nothing but control records
                    arrivals.append(message.timestamp()[1] / 1000)
    finally:
        consumer.close()
    return min(arrivals, default=None)
