"""How long the records that a consumer owes have waited."""

import time
from collections.abc import Iterable
from typing import Final, cast

from confluent_kafka import KafkaError, TopicPartition

from lakehouse.contracts.jobs import Engine, JobSpec
from lakehouse.drained.positions import Lag, lags
from lakehouse.kafka.consumer import ReadError, build_consumer
from lakehouse.settings import Settings

TIMEOUT_SECONDS: Final = 10.0


def oldest_owed(settings: Settings, lags: Iterable[Lag]) -> float | None:
    """Epoch seconds at which Kafka took the oldest record that one consumer owes; None if it owes none.

    `lags` are of one consumer. Of each partition one record is read: the next one that is owed.

    Raises:
        ReadError: Kafka did not deliver it in time, or retention has removed it meanwhile.
    """
    owed = {(each.topic, each.partition): each.reached for each in lags if each.lag}
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


def owed(settings: Settings, name: str) -> tuple[int, float]:
    """Records that the consumer `name` owes, and the seconds that the oldest has waited.

    Raises what `lags` and `oldest_owed` raise.
    """
    found: list[Lag] = lags(settings, [name])
    oldest = oldest_owed(settings, found)
    return sum(each.lag for each in found), 0.0 if oldest is None else max(0.0, time.time() - oldest)


def patience(settings: Settings, job: JobSpec) -> int:
    """How long, in seconds, the oldest record that `job` owes waits at most while it meets its freshness target.

    A Flink job says how far it is with its checkpoints only: what shows at once is owed until the next."""
    return job.freshness_seconds + (settings.flink_checkpoint_seconds if job.engine is Engine.FLINK else 0)
