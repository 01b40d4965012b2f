"""Revenue per region and day by a plain consumer: each record's result and its offset in one transaction.

Run as ``python -m jobs.streaming.region_revenue.main``, as often as wanted: the processes share the partitions.
"""

import argparse
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final, cast

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from psycopg.errors import IdleInTransactionSessionTimeout

from jobs.streaming.plain import serve
from jobs.streaming.region_revenue.store import (
    FencedError,
    Result,
    claim,
    connect,
    keep,
    kept_positions,
    known_topic,
    require_own,
)
from lakehouse.contracts.events import PURCHASES
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.validation import Invalid, validate
from lakehouse.kafka.consumer import NoSuchTopicError
from lakehouse.kafka.follower import Follower
from lakehouse.kafka.topics import topic_ids
from lakehouse.losses import RecordsLostError, TopicWatch, find_losses
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

JOB: Final = "region_revenue__consumer"
TOPIC: Final = PURCHASES.topic
BATCH: Final = 1_000
BATCH_SECONDS: Final = 0.2
SESSION_SECONDS: Final = 6
"""A member that has been silent for so long loses its partitions to the others."""
OWNERSHIP_SECONDS: Final = 1.0
"""Without a record at hand, so often it looks whether its partitions are its own still."""
PAUSE_SECONDS: Final = 1.0
"""Between attempts, while PostgreSQL or Kafka is down."""
COOPERATIVE: Final = "cooperative-sticky"
ASSIGNORS: Final = (COOPERATIVE, "range")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_PASSING: Final = (psycopg.OperationalError, IdleInTransactionSessionTimeout, KafkaException)

log = logging.getLogger(__name__)


class Membership:
    """One stay in the consumer group, from joining to leaving it.

    The records at hand belong to partitions that were claimed and not taken away since: a rebalance, which Kafka
    tells of between two records, drops those of the partitions concerned. They were not kept, so their next owner
    reads them.
    """

    def __init__(self, settings: Settings, assignor: str) -> None:
        self._settings = settings
        self._cooperative = assignor == COOPERATIVE
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._epochs: dict[int, int] = {}
        self._at_hand: dict[int, list[Message]] = {}
        self._looked = monotonic()
        self._watch = TopicWatch(settings, JOB, TOPIC)
        self._store = connect(settings)
        require_records(settings, self._store)
        self._consumer = Follower(
            settings,
            JOB,
            **{
                "client.id": self._owner,
                "partition.assignment.strategy": assignor,
                "session.timeout.ms": SESSION_SECONDS * 1000,
                "heartbeat.interval.ms": SESSION_SECONDS * 1000 // 3,
            },
        )
        self._consumer.subscribe(
            [settings.prefixed(TOPIC)], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def run(self, stopping: threading.Event) -> None:
        """Process until `stopping` is set.

        Raises:
            FencedError: a partition has another owner, which Kafka has not told us yet, or was sought: join anew.
            RecordsLostError: Kafka no longer has what comes next.
        """
        while not stopping.is_set():
            self._read()
            if self._at_hand:
                self._keep()
            elif monotonic() > self._looked + OWNERSHIP_SECONDS:
                require_own(self._store, TOPIC, self._epochs)
                self._looked = monotonic()

    def leave(self) -> None:
        self._consumer.close()
        self._store.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        claims = claim(self._store, TOPIC, [p.partition for p in partitions], self._owner)
        for partition in partitions:
            held = claims[partition.partition]
            self._epochs[partition.partition] = held.epoch
            partition.offset = OFFSET_BEGINNING if held.next_offset is None else held.next_offset
        log.info("assigned %s", {p: c.next_offset for p, c in claims.items()})
        if self._cooperative:
            consumer.incremental_assign(partitions)
        else:
            consumer.assign(partitions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._epochs.pop(partition.partition, None)
            self._at_hand.pop(partition.partition, None)
        log.info("gave up %s", [p.partition for p in partitions])
        if self._cooperative:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _read(self) -> None:
        deadline = monotonic() + BATCH_SECONDS
        # One by one: a rebalance that is told of between two records finds those before it at hand.
        for _ in range(BATCH):
            message = self._consumer.poll(max(0.0, deadline - monotonic()))
            if message is None:
                return
            if error := message.error():
                if error.code() == KafkaError._AUTO_OFFSET_RESET:
                    require_records(self._settings, self._store)
                log.warning("kafka: %s", error.str())
            else:
                self._at_hand.setdefault(cast(int, message.partition()), []).append(message)

    def _keep(self) -> None:
        batch, self._at_hand = self._at_hand, {}
        positions = {p: cast(int, messages[-1].offset()) + 1 for p, messages in batch.items()}
        results = [process(message) for messages in batch.values() for message in messages]
        self._watch.look(at_once=True)  # all is read now, and nothing written
        keep(self._store, TOPIC, results, positions, self._epochs)
        # For those who look at the group's lag. A start goes by what lies with the results.
        name = self._settings.prefixed(TOPIC)
        self._consumer.commit(offsets=[TopicPartition(name, *each) for each in positions.items()])


def require_records(settings: Settings, store: psycopg.Connection) -> None:
    """Raises RecordsLostError where Kafka no longer has what comes next."""
    known = {TOPIC: known_topic(store, TOPIC, topic_ids(settings, [TOPIC])[TOPIC])}
    _, losses = find_losses(settings, [TOPIC], {TOPIC: kept_positions(store, TOPIC)}, known)
    if losses:
        raise RecordsLostError(JOB, losses)


def process(message: Message) -> Result:
    """What a record says of a region's revenue, or why it says nothing."""
    partition, offset, value = cast(int, message.partition()), cast(int, message.offset()), message.value()
    hashed = record_hash(TOPIC, partition, offset, value)
    verdict = validate(TOPIC, message.key(), value, message.timestamp()[1])
    if isinstance(verdict, Invalid):
        return Result(TOPIC, partition, offset, verdict.reason, None, None, None, None, None, hashed)
    fields = verdict.fields
    return Result(
        TOPIC,
        partition,
        offset,
        None,
        cast(str, fields["user_id"]),
        cast(str, fields["event_id"]),
        _EPOCH + timedelta(milliseconds=cast(int, fields["event_time"])),
        json.dumps(fields["region"], ensure_ascii=False),
        cast(int, fields["amount_cents"]),
        hashed,
    )


def run(settings: Settings, stopping: threading.Event, assignor: str = COOPERATIVE) -> None:
    """Process until `stopping` is set, through rebalances and outages. Raises RecordsLostError as `Membership.run`."""
    while not stopping.is_set():
        try:
            membership = Membership(settings, assignor)
            try:
                membership.run(stopping)
            finally:
                membership.leave()
        except FencedError as error:
            log.warning("%s; joining the group anew", error)
        except (ServiceDownError, NoSuchTopicError, *_PASSING) as error:
            log.warning("%s; trying again in %.0f s", str(error).strip(), PAUSE_SECONDS)
            stopping.wait(PAUSE_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assignor", choices=ASSIGNORS, default=COOPERATIVE, help="the same for all of the group")
    chosen = parser.parse_args(arguments)
    return serve(log, partial(run, assignor=chosen.assignor), RecordsLostError)


if __name__ == "__main__":
    sys.exit(main())
