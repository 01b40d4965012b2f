"""Reading topics for as long as a process lives."""

from time import monotonic
from typing import Final

from confluent_kafka import Consumer, Message

from lakehouse.kafka.consumer import consumer_configuration
from lakehouse.settings import Settings

QUIET_SECONDS: Final = 10.0
"""Without a record for so long, it asks Kafka whether it is still there."""
_ANSWER_SECONDS: Final = 5.0


class Follower(Consumer):
    """A consumer that notices when it has lost Kafka for good.

    A cluster in trouble may answer for a moment that it has no brokers. librdkafka then forgets those that it knew,
    and may never connect again and say nothing of it (its issue 5301). So while nothing comes it asks Kafka for its
    topics now and then, which needs a connection.

    Raises:
        KafkaException: from `consume` and `poll`, when nothing came and Kafka doesn't answer. Close it, and build
            another one.
    """

    def __init__(self, settings: Settings, group: str, **config: object) -> None:
        super().__init__(consumer_configuration(settings, group, **{"enable.partition.eof": False, **config}))
        self._heard = monotonic()

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        messages = super().consume(num_messages, timeout)
        self._look(bool(messages))
        return messages

    def poll(self, timeout: float = -1) -> Message | None:
        message = super().poll(timeout)
        self._look(message is not None)
        return message

    def _look(self, came: bool) -> None:
        if not came:
            if monotonic() < self._heard + QUIET_SECONDS:
                return
            self.list_topics(timeout=_ANSWER_SECONDS)
        self._heard = monotonic()
