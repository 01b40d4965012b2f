"""Committing offsets without waiting for the broker."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

ASK_AGAIN_SECONDS: Final = 2.0
RENEW_SECONDS: Final = 3600.0
"""Kafka forgets the offsets of a group that has committed none for `offsets.retention.minutes`, 7 days unless somebody
sets it otherwise. So what is acknowledged is committed again so often, though nothing came."""


class Commits:
    """Commits offsets of one topic in the background, again and again until the broker acknowledges them.

    A synchronous commit has no timeout: with the broker away at the wrong moment it never returned (librdkafka
    2.16), and the consumer hung. Build the consumer with `options`, and call `push` in each turn of its loop;
    acknowledgements come in with the consumer's own calls. Give it the positions that the consumer starts at, too:
    they are kept from being forgotten like those that it reaches.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._wanted: dict[int, int] = {}
        self._acknowledged: dict[int, int] = {}
        self._asked: float | None = None
        self._renewed = monotonic()

    @property
    def options(self) -> dict[str, object]:
        """For the consumer's configuration."""
        return {"on_commit": self._answered}

    def push(self, consumer: Consumer, positions: dict[int, int] | None = None) -> None:
        """Commit `positions` (partition -> offset that comes next) too, beside what is not acknowledged yet."""
        self._wanted.update(positions or {})
        if monotonic() > self._renewed + RENEW_SECONDS:
            self._renewed = monotonic()
            self._acknowledged.clear()
        open_ones = {p: o for p, o in self._wanted.items() if self._acknowledged.get(p) != o}
        if not open_ones or (self._asked is not None and monotonic() - self._asked < ASK_AGAIN_SECONDS):
            return
        self._asked = monotonic()
        try:
            consumer.commit(offsets=[TopicPartition(self._topic, *each) for each in open_ones.items()])
        except KafkaException:
            return  # nobody to ask at the moment; the next turn asks again

    def _answered(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            if error is None and partition.error is None:
                self._acknowledged[partition.partition] = partition.offset
        if error is None:
            self._asked = None
