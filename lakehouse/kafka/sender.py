"""Sending many records fast, and knowing that each arrived."""

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, Message

from lakehouse.kafka.offsets import check_listening
from lakehouse.kafka.producer import build_producer
from lakehouse.settings import Settings

Outgoing = tuple[str, bytes | None, bytes | None]
"""(topic without namespace, key, value)."""

FLUSH_SECONDS: Final = 300.0
_MAX_IN_FLIGHT: Final = 300_000


class DeliveryError(RuntimeError):
    """Kafka did not confirm records; sending the same again is safe, since events have stable identities."""


class Sender:
    """Sends records and, on leaving its ``with`` block, has them all confirmed.

    Records of one key arrive in the order of the calls. `sent` counts by topic what was handed over.

    Raises:
        DeliveryError: from any method, when a record was refused or not confirmed in time.
        ServiceDownError: on entering, when Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._failure: KafkaError | None = None
        self._producer = build_producer(settings, on_failure=self._failed)
        self.sent: Counter[str] = Counter()

    def __enter__(self) -> Self:
        check_listening(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

    def send(self, records: Sequence[Outgoing]) -> None:
        """Queue `records`; waits while too many are under way."""
        # A full queue would take later records of a key after refusing earlier ones: never let it fill up.
        while len(self._producer) > _MAX_IN_FLIGHT:
            self._producer.poll(0.05)
            self._check()
        by_topic: dict[str, list[dict[str, bytes | None]]] = {}
        for topic, key, value in records:
            by_topic.setdefault(topic, []).append({"key": key, "value": value})
        for topic, messages in by_topic.items():
            queued = self._producer.produce_batch(self._settings.prefixed(topic), messages)
            if queued != len(messages):
                refused = next(m for m in messages if "_error" in m)
                raise DeliveryError(f"{topic}: {len(messages) - queued} records refused: {refused['_error']!r}")
            self.sent[topic] += queued
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until Kafka has confirmed everything sent so far."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._producer.flush(1):
            self._check()
            if time.monotonic() > deadline:
                raise DeliveryError(f"{len(self._producer)} records not confirmed within {FLUSH_SECONDS:.0f} s")
        self._check()

    def _failed(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error

    def _check(self) -> None:
        if self._failure:
            raise DeliveryError(f"Kafka refused a record: {self._failure.str()}")
