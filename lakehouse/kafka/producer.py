"""The one configuration that every Python producer shares."""

from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from lakehouse.settings import Settings


def build_producer(
    settings: Settings,
    *,
    linger_ms: int = 20,
    on_failure: Callable[[KafkaError | None, Message], None] | None = None,
) -> Producer:
    """An idempotent producer that places keys where Java's would.

    librdkafka's own default partitioner agrees with Java's on one key in six; joins by key need the same
    partition for the same key, whoever wrote it. `on_failure` is called, from `poll` and `flush`, for records
    that could not be delivered, and only for those.
    """
    reports = {"on_delivery": on_failure, "delivery.report.only.error": True} if on_failure else {}
    return Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "batch.size": 1_000_000,
            "message.max.bytes": 2 * 1024 * 1024,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 262_144,
            "log_level": 2,
            **reports,
        }
    )
