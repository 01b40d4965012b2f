"""Carries the live values from ``shop.dashboard`` into Redis.

Redis holds, with the values, how far it has them, and that is where each start goes on: what a Redis lost that
died goes in again. The group's committed offsets, which follow, only tell others how far the values are.
"""

import logging
import signal
import threading
from collections.abc import Iterable
from typing import Final, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from lakehouse.kafka.consumer import build_consumer
from lakehouse.kafka.topics import DASHBOARD
from lakehouse.redis_values import LiveValue, LiveValues, parse_value
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings, load_settings

GROUP: Final = "dashboard_writer"
BATCH: Final = 5_000
BATCH_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 1.0
"""Between attempts, while Redis or Kafka is down."""

log = logging.getLogger(__name__)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    run(load_settings(), stopping)


def run(settings: Settings, stopping: threading.Event) -> None:
    """Carry until `stopping` is set, through outages of Redis and Kafka."""
    while not stopping.is_set():
        try:
            _carry(settings, stopping)
        except (ServiceDownError, KafkaException) as error:
            log.warning("%s; trying again in %.0f s", error, PAUSE_SECONDS)
            stopping.wait(PAUSE_SECONDS)


def _carry(settings: Settings, stopping: threading.Event) -> None:
    values = LiveValues(settings)
    options: dict[str, str | int | bool] = {
        # Positions that the topic no longer has: all of it again, the guard keeps what is newer.
        "auto.offset.reset": "earliest",
        "enable.partition.eof": False,
    }
    consumer = build_consumer(settings, GROUP, **options)

    def go_on(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        held = values.positions()
        for partition in partitions:
            partition.offset = held.get(partition.partition, OFFSET_BEGINNING)
        log.info("carrying on from %s", dict(sorted((p.partition, p.offset) for p in partitions)))
        consumer.assign(partitions)

    try:
        values.positions()  # in vain before Redis answers
        consumer.subscribe([settings.prefixed(DASHBOARD)], on_assign=go_on)
        while not stopping.is_set():
            messages = [m for m in consumer.consume(BATCH, timeout=BATCH_SECONDS) if _is_record(m)]
            if messages:
                positions = {cast(int, m.partition()): cast(int, m.offset()) + 1 for m in messages}
                values.replace(newest(messages), positions)
                topic = settings.prefixed(DASHBOARD)
                consumer.commit(offsets=[TopicPartition(topic, *p) for p in positions.items()], asynchronous=False)
    finally:
        consumer.close()
        values.close()


def _is_record(message: Message) -> bool:
    if error := message.error():
        log.warning("kafka: %s", error.str())
        return False
    return True


def newest(messages: Iterable[Message]) -> list[LiveValue]:
    """One value per row, the newest of the messages; what is no live value is logged and left out."""
    found: dict[tuple[str, str, int | None], LiveValue] = {}
    for message in messages:
        try:
            value = parse_value(message.value() or b"")
        except ValueError as error:
            log.error("partition %s offset %s: %s", message.partition(), message.offset(), error)
            continue
        row = (value.table, value.key, value.window_start)
        held = found.get(row)
        if held is None or (value.generation, value.seq) >= (held.generation, held.seq):
            found[row] = value
    return list(found.values())


if __name__ == "__main__":
    main()
