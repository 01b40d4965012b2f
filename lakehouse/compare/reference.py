"""The reference's rows and Kafka's own records, as frames of the tables' contracts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import polars as pl

from lakehouse.compare.forgotten import Unproved
from lakehouse.compare.judged import Segment, events_of
from lakehouse.compare.segments import Offsets, read_segments
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.columns import Type
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import DEAD_LETTERS, TABLES, ingested, table
from lakehouse.kafka.consumer import ReadError
from lakehouse.losses import KnownLoss, known_losses
from lakehouse.semantics.events import EVENT_TYPES
from lakehouse.semantics.log import EventLog, assemble
from lakehouse.semantics.metrics.alerts.reference import ctr_anomalies
from lakehouse.semantics.metrics.sessions.reference import current_sessions
from lakehouse.semantics.reference import METRICS, Row
from lakehouse.settings import Settings

INGESTED: Final = tuple(topic for topic in EVENT_TYPES if f"bronze.{EVENTS[topic].table}" in TABLES)
"""Topics whose records somebody brings into bronze, the invalid ones as dead letters."""


@dataclass(slots=True)
class Reference:
    """What Kafka has held up to `ends`, and what follows from it.

    `unproved`: what Kafka has forgotten, where nothing proves that bronze has it as Kafka had.
    """

    ends: Offsets
    segments: list[Segment]
    log: EventLog
    unproved: Sequence[Unproved] = ()

    @classmethod
    def read(cls, settings: Settings, ends: Offsets, progress: Callable[[int], None] | None = None) -> "Reference":
        """Reads Kafka up to `ends` and judges what an earlier call hasn't.

        What is known to be lost before its ingester had read it is left out, though an earlier call may have seen it.
        Raises what `read_segments` raises, and ReadError where a topic was made anew.
        """
        known = {
            topic: [each for each in losses if each.job == _ingester(topic)]
            for topic, losses in known_losses(settings, ends).items()
        }
        if gone := [topic for topic, losses in known.items() if any(each.loss.made_anew for each in losses)]:
            raise ReadError(
                f"{', '.join(gone)} was deleted and made anew: the tables hold what it had before, and Kafka doesn't, "
                f"so that nothing is left to compare them with; lakehouse audit follows what each of the two has held"
            )
        read, unproved = read_segments(settings, ends, progress)
        segments = [replace(each, lost=_lost(known[each.topic], each.partition)) for each in read]
        return cls(ends, segments, assemble(chain.from_iterable(map(events_of, segments))), unproved)

    def rows(self, name: str) -> Iterator[Row]:
        """The rows of a silver, gold or mart table; a variant's are those of the table that it is one of."""
        return METRICS[table(name).variant_of or name].compute(self.log.events)

    def frame(self, name: str) -> pl.DataFrame:
        """The same as a frame."""
        return to_frame(table(name), self.rows(name))

    def current_sessions(self) -> Iterator[Row]:
        return current_sessions(self.log.events)

    def anomalies(self) -> Iterator[Row]:
        return ctr_anomalies(self.log.events)

    def stored(self, name: str, partition: int) -> pl.DataFrame:
        """What a bronze table must hold of a Kafka partition: the valid records of its topic, or, for
        `bronze.dead_letters`, the invalid ones of all `INGESTED` topics; a variant what its original must."""
        if DEAD_LETTERS in (name, table(name).variant_of):
            frames = [_dead_letters(s) for s in self.segments if s.partition == partition and s.topic in INGESTED]
        else:
            topic = ingested(name).topic
            frames = [_valid(s) for s in self.segments if s.partition == partition and s.topic == topic]
        schema = polars_schema(table(name))
        if not frames:
            return pl.DataFrame(schema=schema)
        dated = pl.concat(frames).with_columns(arrival_date=_time("arrival").dt.date())
        times = [c.name for c in table(name).columns if c.type is Type.TIMESTAMP]
        return dated.with_columns(_time(column) for column in times).select(schema.names()).cast(schema)

    @property
    def partitions(self) -> list[int]:
        return sorted({p for partitions in self.ends.values() for p in partitions})


def _ingester(topic: str) -> str:
    """The job that brings a topic into bronze."""
    return table(f"bronze.{EVENTS[topic].table}").owner


def _lost(known: Iterable[KnownLoss], partition: int) -> tuple[tuple[int, int], ...]:
    """The spans of offsets of a partition that are known to be lost."""
    return tuple(
        (each.loss.first, each.loss.end)
        for each in known
        if each.loss.partition == partition and each.loss.first is not None and each.loss.end is not None
    )


def _valid(segment: Segment) -> pl.DataFrame:
    fields = [f.name for f in EVENTS[segment.topic].fields]
    frame = segment.frame([*fields, "partition", "offset", "arrival", "value", "record_hash", "reason"])
    return frame.filter(pl.col("reason").is_null()).drop("reason").with_columns(topic=pl.lit(segment.topic))


def _dead_letters(segment: Segment) -> pl.DataFrame:
    # By the small columns first: values of valid records need not be looked at.
    frame = segment.frame(["partition", "offset", "arrival", "key", "value", "reason", "field", "record_hash"])
    return frame.filter(pl.col("reason").is_not_null()).with_columns(topic=pl.lit(segment.topic))


def _time(column: str) -> pl.Expr:
    return pl.from_epoch(pl.col(column), "ms").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
