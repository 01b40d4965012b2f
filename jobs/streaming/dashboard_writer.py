"""Carries the live values from ``shop.dashboard`` into Redis.

Redis holds, with the values, how far it has them, and that is where each start goes on: what a Redis lost that
died goes in again. The group's committed offsets, which follow, only tell others how far the values are.
"""

import logging
import sys
import threading
from collections.abc import Iterable
from typing import Final, cast

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from jobs.streaming.plain import serve
from lakehouse.contracts.events import PARTITIONS
from lakehouse.contracts.messages import MessageError
from lakehouse.kafka.commits import Commits
from lakehouse.kafka.consumer import NoSuchTopicError
from lakehouse.kafka.follower import Follower
from lakehouse.kafka.topics import DASHBOARD
from lakehouse.losses import RecordsLostError, TopicWatch, find_losses
from lakehouse.redis_values import LiveValue, LiveValues, parse_value
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

GROUP: Final = "dashboard_writer"
BATCH: Final = 5_000
BATCH_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 1.0
"""Between attempts, while Redis or Kafka is down."""

log = logging.getLogger(__name__)


def run(settings: Settings, stopping: threading.Event) -> None:
    """Carry until `stopping` is set, through outages of Redis and Kafka.

    Raises RecordsLostError: Kafka has lost values that are not in Redis yet.
    """
    while not stopping.is_set():
        try:
            _carry(settings, stopping)
        except (ServiceDownError, NoSuchTopicError, KafkaException) as error:
            log.warning("%s; trying again in %.0f s", error, PAUSE_SECONDS)
            stopping.wait(PAUSE_SECONDS)


def _carry(settings: Settings, stopping: threading.Event) -> None:
    values, topic = LiveValues(settings), settings.prefixed(DASHBOARD)
    commits = Commits(topic)
    consumer = Follower(settings, GROUP, **commits.options)
    try:
        held, watch = _verified(settings, values), TopicWatch(settings, GROUP, DASHBOARD)
        log.info("carrying on from %s", dict(sorted(held.items())))
        # Assigned, not subscribed: a second writer would do no harm, and a group that loses its member to a slow
        # broker waits for it for most of a minute.
        consumer.assign([TopicPartition(topic, p, held.get(p, OFFSET_BEGINNING)) for p in range(PARTITIONS)])
        commits.push(consumer, held)
        while not stopping.is_set():
            messages = [m for m in consumer.consume(BATCH, timeout=BATCH_SECONDS) if _is_record(m)]
            positions = {cast(int, m.partition()): cast(int, m.offset()) + 1 for m in messages}
            watch.look()
            if messages:
                values.replace(newest(messages), positions)
            commits.push(consumer, positions)
    finally:
        consumer.close()
        values.close()


def _verified(settings: Settings, values: LiveValues) -> dict[int, int]:
    """The positions that Redis holds, if Kafka has what comes next; else raises RecordsLostError."""
    held, known = values.positions(), values.topic_id()
    now, losses = find_losses(settings, [DASHBOARD], {DASHBOARD: held}, {} if known is None else {DASHBOARD: known})
    if losses:
        raise RecordsLostError(GROUP, losses)
    if known is None:
        values.begin(now[DASHBOARD], held)
    return held


def _is_record(message: Message) -> bool:
    if error := message.error():
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise KafkaException(error)  # the next attempt finds out what is lost
        log.warning("kafka: %s", error.str())
        return False
    return True


def newest(messages: Iterable[Message]) -> list[LiveValue]:
    """One value per row, the newest of the messages; what is no live value is logged and left out."""
    found: dict[tuple[str, str, int | None], LiveValue] = {}
    for message in messages:
        try:
            value = parse_value(message.value())
        except MessageError as error:
            log.error("%s partition %s offset %s: %s", DASHBOARD, message.partition(), message.offset(), error)
            continue
        row = (value.table, value.key, value.window_start)
        held = found.get(row)
        if held is None or (value.generation, value.seq) >= (held.generation, held.seq):
            found[row] = value
    return list(found.values())


if __name__ == "__main__":
    sys.exit(serve(log, run, RecordsLostError))
