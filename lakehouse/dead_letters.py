"""Dead letters as an operator meets them: a sudden share of a topic's records, and records to be judged again.

The verdict on a record rests on its arrival, which the broker's clock says. A clock that is more than five minutes
behind, or a producer that writes another time, makes a dead letter of every event, while all jobs run and all tables
agree with the reference. So shares are counted by offsets, which no clock can shift.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import DEAD_LETTERS, table
from lakehouse.delta import TableMissingError, scan
from lakehouse.drained.positions import lags
from lakehouse.kafka.sender import Outgoing
from lakehouse.settings import Settings

RECENT: Final = 200
"""So many offsets of each partition, the last that its ingester has read, are held against those before them."""
BEFORE: Final = 20_000
LEAST: Final = 20
"""Fewer dead letters are no jump."""
SHARE: Final = 0.05
FACTOR: Final = 3.0
"""It is a jump if more than `SHARE` of the recent records are dead letters, and more than `FACTOR` times the share of
those before."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Of the last `records` of a topic, `dead` are dead letters, of those before them the share `usual`.

    `reasons`: how many, by reason and field, the most frequent first.
    """

    topic: str
    records: int
    dead: int
    usual: float
    reasons: Mapping[str, int]

    def __str__(self) -> str:
        named = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return (
            f"{self.dead} of the last {self.records} records of {self.topic} are dead letters ({named}), "
            f"before that {self.usual:.1%} were"
        )


def jump(topic: str, recent: tuple[int, int], before: tuple[int, int], reasons: Mapping[str, int]) -> Jump | None:
    """Whether the share of dead letters has jumped: `recent` and `before` are records and dead letters among them."""
    (records, dead), (earlier, dead_before) = recent, before
    usual = dead_before / earlier if earlier else 0.0
    jumped = dead >= LEAST and dead > SHARE * records and dead > FACTOR * usual * records
    return Jump(topic, records, dead, usual, reasons) if jumped else None


def jumps(settings: Settings) -> list[Jump]:
    """The topics whose records have become dead letters much more often than before, as far as they are ingested.

    Raises:
        ReadError: a topic does not exist.
        ServiceDownError: Kafka or MinIO does not answer.
    """
    ingested = {topic: table(f"bronze.{event.table}").owner for topic, event in EVENTS.items()}
    try:
        letters = scan(settings, DEAD_LETTERS)
    except TableMissingError:
        return []
    found = []
    for topic, job in ingested.items():
        ends = {lag.partition: (lag.start, lag.reached) for lag in lags(settings, [job]) if lag.topic == topic}
        dead = letters.filter(_among(topic, {p: (max(0, end - BEFORE), end) for p, (_, end) in ends.items()}))
        rows = dead.select("partition", "offset", _reason()).collect()
        newest = rows.filter(_among(None, {p: (max(0, end - RECENT), end) for p, (_, end) in ends.items()}))
        records = sum(min(RECENT, end - start) for start, end in ends.values())
        earlier = sum(min(BEFORE, end - start) for start, end in ends.values()) - records
        counts = newest["reason"].value_counts(sort=True)
        seen = jump(topic, (records, newest.height), (earlier, rows.height - newest.height), dict(counts.iter_rows()))
        if seen is not None:
            found.append(seen)
    return found


def _among(topic: str | None, ranges: Mapping[int, tuple[int, int]]) -> pl.Expr:
    inside = pl.any_horizontal(
        False,
        *(
            (pl.col("partition") == p) & pl.col("offset").is_between(first, end, closed="left")
            for p, (first, end) in ranges.items()
        ),
    )
    return inside if topic is None else (pl.col("topic") == topic) & inside


def _reason() -> pl.Expr:
    return pl.concat_str("reason", "field", separator=" of ", ignore_nulls=True).alias("reason")


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters of `topic` with this reason and field that arrived in ``[since, until)``; None: with any."""

    topic: str
    reason: str | None = None
    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def of(self, letters: pl.LazyFrame) -> pl.LazyFrame:
        chosen = letters.filter(pl.col("topic") == self.topic)
        for column, value in (("reason", self.reason), ("field", self.field)):
            if value is not None:
                chosen = chosen.filter(pl.col(column) == value)
        if self.since is not None:
            chosen = chosen.filter(pl.col("arrival") >= self.since)
        return chosen if self.until is None else chosen.filter(pl.col("arrival") < self.until)


def count_letters(settings: Settings, topics: Iterable[str] = ()) -> pl.DataFrame:
    """By topic, reason and field: how many dead letters there are, and when the first and the last arrived.

    Raises TableMissingError, ServiceDownError.
    """
    wanted = list(topics)
    letters = scan(settings, DEAD_LETTERS)
    chosen = letters.filter(pl.col("topic").is_in(wanted)) if wanted else letters
    counted = chosen.group_by("topic", "reason", "field").agg(
        records=pl.len(), first=pl.col("arrival").min(), last=pl.col("arrival").max()
    )
    return counted.sort("topic", "records", descending=[False, True]).collect()


def outgoing(settings: Settings, selection: Selection, batch: int = 10_000) -> Iterator[list[Outgoing]]:
    """The dead letters of `selection` as they were sent, in the order in which they arrived.

    Raises TableMissingError, ServiceDownError.
    """
    chosen = (
        selection.of(scan(settings, DEAD_LETTERS))
        .sort("arrival", "partition", "offset")
        .select("topic", "key", "value")
    )
    rows = chosen.collect()
    for start in range(0, rows.height, batch):
        yield list(rows[start : start + batch].iter_rows())
