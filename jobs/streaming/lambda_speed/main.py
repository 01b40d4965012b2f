"""The speed layer's process: Kafka from the batch layer's cut on -> the speed tables, every few seconds.

Run as ``python -m jobs.streaming.lambda_speed.main``; with ``--to-end`` it ends where Kafka ends now. Its state is in
memory and reaches back to the cut alone: a process that starts reads from there again, and so does a running one when a
newer batch run has handed over. What it writes depends on the hand-over and the offsets that it has read, so that
nothing is lost or doubled by a kill.
"""

import argparse
import logging
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final, cast

import polars as pl
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from jobs.streaming.lambda_speed import views
from jobs.streaming.lambda_speed.seed import Seed
from jobs.streaming.plain import serve
from lakehouse.contracts.events import CLICKS, PARTITIONS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.owners import LAMBDA_SPEED
from lakehouse.contracts.tables import LAMBDA_METRICS
from lakehouse.contracts.validation import Invalid, validate
from lakehouse.delta import Once, TableError, create_table, replace_all
from lakehouse.delta.notes import Added
from lakehouse.delta.write import to_arrow
from lakehouse.kafka.consumer import ReadError, end_offsets
from lakehouse.kafka.follower import Follower
from lakehouse.lambda_layers import TOPICS, HandOver, Offsets, batch_table, newest_hand_over, open_layers, speed_table
from lakehouse.losses import find_losses, in_words
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

FLUSH_SECONDS: Final = 10.0
BATCH: Final = 5_000
BATCH_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 1.0
"""Between attempts, while Kafka or MinIO is down."""

log = logging.getLogger(LAMBDA_SPEED)


class SpeedLayer:
    """What came after one hand-over: fed with records, asked for rows."""

    def __init__(self, seed: Seed, cut: Offsets) -> None:
        self._seed = seed
        self._fresh = seed.events.clear()
        self._known = seed.events.clear()
        self._ends = {topic: dict(cut.get(topic, {})) for topic in TOPICS}

    @property
    def ends(self) -> dict[str, dict[int, int]]:
        """Up to where the batch layer and this one together have counted."""
        return self._ends

    def add(self, records: pl.DataFrame, ends: Iterable[tuple[str, int, int]]) -> None:
        """`records`: valid ones, in the form of `views.SCHEMA`; `ends`: by topic and partition, what was read."""
        for topic, partition, end in ends:
            self._ends[topic][partition] = max(end, self._ends[topic].get(partition, 0))
        if records.height:
            self._known = pl.concat([self._known, self._seed.known(records)]).unique(views.IDENTITY)
            self._fresh = views.first_of_each(pl.concat([self._fresh, records]))

    def rows(self) -> dict[str, pl.DataFrame]:
        """By metric, the rows of its speed table."""
        events = views.counted(self._fresh, self._known)
        near = self._seed.near(events.filter(pl.col("topic") == CLICKS.topic))
        return {
            "product_metrics_5m": views.product_metrics_5m(events),
            "region_revenue_daily": views.region_revenue_daily(events),
            "sessions": views.sessions(events, near),
        }


def typed(records: Iterable[tuple[str, int, int, int, bytes | None, bytes | None]]) -> pl.DataFrame:
    """The valid ones of records (topic, partition, offset, arrival, key, value) in the form of `views.SCHEMA`."""
    rows = []
    for topic, partition, offset, arrival, key, value in records:
        verdict = validate(topic, key, value, arrival)
        if isinstance(verdict, Invalid):
            continue  # the ingester keeps dead letters, once for both variants
        fields = verdict.fields
        time = datetime.fromtimestamp(cast(int, fields["event_time"]) / 1000, UTC)
        rows.append(
            {name: fields.get(name) for name in views.SCHEMA}
            | {
                "topic": topic,
                "event_time": time,
                "partition": partition,
                "offset": offset,
                "record_hash": record_hash(topic, partition, offset, value),
                "event_date": time.date(),
            }
        )
    return pl.DataFrame(rows, schema=views.SCHEMA, orient="row")


def write(settings: Settings, hand_over: HandOver, layer: SpeedLayer) -> None:
    """Replaces the rows of the speed tables, each in a commit that says which batch version they add to."""
    for metric, rows in layer.rows().items():
        name = speed_table(metric)
        added = Added(batch_version=hand_over.versions[batch_table(metric)], cut=hand_over.cut, ends=layer.ends)
        once = Once.after(create_table(settings, name), settings.prefixed(LAMBDA_SPEED))
        replace_all(settings, name, to_arrow(name, rows), once, added)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.streaming.lambda_speed.main",
        description="Lambda's speed layer: count what came after the batch layer's cut.",
        epilog="Example: python -m jobs.streaming.lambda_speed.main --to-end",
    )
    parser.add_argument("--to-end", action="store_true", help="end once what Kafka holds now is counted")
    to_end = parser.parse_args(argv).to_end

    def count(settings: Settings, stopping: threading.Event) -> None:
        run(settings, stopping, _kafka_ends(settings) if to_end else None)

    return serve(log, count, ServiceDownError)


def run(settings: Settings, stopping: threading.Event, until: Offsets | None = None) -> None:
    """Counts until `stopping` is set, or all before `until` is counted, through outages of Kafka and MinIO."""
    while not stopping.is_set():
        try:
            hand_over = newest_hand_over(settings)
            log.info("from the cut %s", {topic: sum(ends.values()) for topic, ends in hand_over.cut.items()})
            if _count(settings, hand_over, stopping, until):
                return
        except (ServiceDownError, TableError, KafkaException, ReadError) as error:
            log.warning("%s; trying again in %.0f s", error, PAUSE_SECONDS)
            stopping.wait(PAUSE_SECONDS)


def _count(settings: Settings, hand_over: HandOver, stopping: threading.Event, until: Offsets | None) -> bool:
    """Until `stopping` is set or a newer batch run has handed over; or until all before `until` is counted, which is
    told by True."""
    _verify(settings, hand_over.cut, hand_over)
    layer = SpeedLayer(Seed.take(settings, hand_over), hand_over.cut)
    consumer = Follower(settings, LAMBDA_SPEED)
    try:
        consumer.assign(
            [
                TopicPartition(settings.prefixed(topic), p, hand_over.cut.get(topic, {}).get(p) or OFFSET_BEGINNING)
                for topic in TOPICS
                for p in range(PARTITIONS)
            ]
        )
        _read_to(settings, consumer, layer, until or _shown(settings), stopping)
        owed = True
        while not stopping.is_set():
            if owed:
                _verify(settings, {}, hand_over)  # all is read now, and nothing written
                write(settings, hand_over, layer)
            if until is not None:
                return True
            if newest_hand_over(settings) != hand_over:
                return False
            owed = _read(settings, consumer, layer, stopping)
        return False
    finally:
        consumer.close()


def _verify(settings: Settings, positions: Offsets, hand_over: HandOver) -> None:
    """Raises ReadError where Kafka no longer has what comes after the cut."""
    _, losses = find_losses(settings, TOPICS, positions, hand_over.topics)
    if losses:
        raise ReadError(f"{in_words(losses)}, since the batch layer's cut; run it again: lakehouse lambda batch")


def _read(settings: Settings, consumer: Consumer, layer: SpeedLayer, stopping: threading.Event) -> bool:
    """Feeds what comes within `FLUSH_SECONDS`; whether anything came."""
    flush, came = monotonic() + FLUSH_SECONDS, False
    while monotonic() < flush and not stopping.is_set():
        came |= _feed(settings, consumer, layer)
    return came


def _shown(settings: Settings) -> Offsets:
    """Up to where the views have counted: what takes the place of their rows must reach as far, or some would vanish
    for a while."""
    shown, ends = open_layers(settings, next(reversed(LAMBDA_METRICS))).ends, _kafka_ends(settings)
    return {t: {p: min(end, ends[t].get(p, 0)) for p, end in shown.get(t, {}).items()} for t in TOPICS}


def _kafka_ends(settings: Settings) -> Offsets:
    return {topic: end_offsets(settings, topic) for topic in TOPICS}


def _read_to(
    settings: Settings, consumer: Consumer, layer: SpeedLayer, until: Offsets, stopping: threading.Event
) -> None:
    """Feeds all before `until`, or less if it is to stop."""

    def reached() -> bool:
        return all(layer.ends[t].get(p, 0) >= end for t, partitions in until.items() for p, end in partitions.items())

    while not (reached() or stopping.is_set()):
        _feed(settings, consumer, layer)


def _feed(settings: Settings, consumer: Consumer, layer: SpeedLayer) -> bool:
    """Feeds what is there, waiting for it for a moment; whether anything was."""
    topics = {settings.prefixed(topic): topic for topic in TOPICS}
    records = [_record(topics, m) for m in consumer.consume(BATCH, timeout=BATCH_SECONDS)]
    layer.add(typed(records), ((topic, p, offset + 1) for topic, p, offset, *_ in records))
    return bool(records)


def _record(topics: dict[str, str], message: Message) -> tuple[str, int, int, int, bytes | None, bytes | None]:
    """Raises ReadError where Kafka says something else than a record."""
    if error := message.error():
        raise ReadError(f"{message.topic()}: {error.str()}")
    topic, partition, offset = topics[cast(str, message.topic())], message.partition(), message.offset()
    return topic, cast(int, partition), cast(int, offset), message.timestamp()[1], message.key(), message.value()


if __name__ == "__main__":
    sys.exit(main())
