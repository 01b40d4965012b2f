"""Records that a transactional producer writes, as Kafka Streams, Flink's sink or Debezium do."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Producer

from lakehouse.kafka.sender import Outgoing
from lakehouse.settings import Settings

_SECONDS: Final = 30


class Transactions:
    """Transactions on one partition of a topic (without namespace), each with its records and a control record."""

    def __init__(self, settings: Settings, topic: str, partition: int = -1) -> None:
        self._settings, self._topic, self._partition = settings, topic, partition
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "partitioner": "murmur2_random",
                "transactional.id": f"test-{uuid.uuid4()}",
                "transaction.timeout.ms": 900_000,  # the most that brokers allow
            }
        )
        self._producer.init_transactions(_SECONDS)

    def commit(self, *values: bytes, key: bytes | None = None) -> None:
        self._end(self._producer.commit_transaction, values, key)

    def abort(self, *values: bytes, key: bytes | None = None) -> None:
        self._end(self._producer.abort_transaction, values, key)

    @contextmanager
    def open(self, *values: bytes, key: bytes | None = None) -> Iterator[None]:
        """The transaction is open within the block, its records in the log, and is committed after it."""
        self._begin(values, key)
        yield
        self._producer.commit_transaction(_SECONDS)

    def _end(self, end: Callable[[float], None], values: tuple[bytes, ...], key: bytes | None) -> None:
        self._begin(values, key)
        end(_SECONDS)

    def _begin(self, values: tuple[bytes, ...], key: bytes | None) -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(self._settings.prefixed(self._topic), value, key=key, partition=self._partition)
        assert not self._producer.flush(_SECONDS)


def send_and_abort(settings: Settings, records: list[Outgoing]) -> None:
    """Each record (topic, key, value) in a transaction that is aborted: no reader may ever see it."""
    for topic in {topic for topic, *_ in records}:
        transactions = Transactions(settings, topic)
        for of, key, value in records:
            if of == topic:
                transactions.abort(value or b"", key=key)
