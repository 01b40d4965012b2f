"""Which records of bronze and of the dead letters today's rule judges otherwise than they lie there."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from lakehouse.contracts.events import EVENTS, Kind
from lakehouse.contracts.tables import DEAD_LETTERS, TABLES
from lakehouse.contracts.times import milliseconds
from lakehouse.contracts.validation import Invalid, Valid, Wire, validate
from lakehouse.delta import TableMissingError, open_table, scan_opened
from lakehouse.settings import Settings

TOPICS: Final = tuple(topic for topic, event in EVENTS.items() if f"bronze.{event.table}" in TABLES)
"""Whose records somebody brings in."""
_CHUNK: Final = 50_000

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""


class Reading(NamedTuple):
    """What a record was, or is, judged to be; `reason` is None for a valid one."""

    reason: str | None = None
    field: str | None = None

    def __str__(self) -> str:
        return "valid" if self.reason is None else f"{self.reason} ({self.field})" if self.field else self.reason


@dataclass(frozen=True, slots=True)
class Misjudged:
    """A record that lies where `before` has put it, and that today's rule judges to be `now`.

    `fields`: its payload as the contract has it (times in ms), as it was valid or is; None of one that never was.
    """

    topic: str
    partition: int
    offset: int
    arrival: datetime
    key: bytes | None
    value: bytes | None
    record_hash: int
    before: Reading
    now: Reading
    fields: Mapping[str, Wire] | None

    @property
    def becomes_valid(self) -> bool:
        return self.now.reason is None

    @property
    def was_valid(self) -> bool:
        return self.before.reason is None

    @property
    def event(self) -> str | None:
        """The payload as JSON."""
        return None if self.fields is None else json.dumps(self.fields, ensure_ascii=False)


@dataclass(slots=True)
class Census:
    """How many records were looked at, and how many are misjudged: by topic, day of arrival, what they were and are."""

    looked_at: int = 0
    misjudged: Counter[tuple[str, date, Reading, Reading]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.misjudged.total()

    @property
    def days(self) -> list[tuple[str, date]]:
        """The topics and days that have misjudged records."""
        return sorted({(topic, day) for topic, day, _, _ in self.misjudged})

    def add(self, records: Iterable[Misjudged], day: date) -> None:
        self.misjudged.update((each.topic, day, each.before, each.now) for each in records)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "looked_at": self.looked_at,
            "misjudged": self.total,
            "groups": [
                {
                    "topic": topic,
                    "day": day.isoformat(),
                    "was": before._asdict(),
                    "is": now._asdict(),
                    "records": records,
                }
                for (topic, day, before, now), records in sorted(self.misjudged.items(), key=str)
            ],
        }


def take_census(settings: Settings, topics: Sequence[str], progress: Progress) -> Census:
    """Looks at every record of `topics`; raises what `misjudged` raises."""
    census = Census()
    for topic in topics:
        for day in days(settings, topic):
            census.add(misjudged(settings, topic, day, census, progress), day)
    return census


def days(settings: Settings, topic: str) -> list[date]:
    """On which records arrived, of the dead letters' those of any topic."""
    found: set[date] = set()
    for name in (_bronze(topic), DEAD_LETTERS):
        if (opened := _open(settings, name)) is not None:
            files = pa.table(opened.get_add_actions(flatten=True))
            found |= set(files["partition.arrival_date"].to_pylist()) if files.num_rows else set()
    return sorted(found)


def misjudged(
    settings: Settings, topic: str, day: date, census: Census, progress: Progress = lambda _doing: None
) -> Iterator[Misjudged]:
    """Those of a topic that arrived on `day`; counts in `census` what it looks at.

    A record that lies in both tables, as after a kill between two commits, is misjudged in the one in which today's
    rule doesn't put it.

    Raises:
        ServiceDownError: MinIO does not answer.
    """
    bronze = _rows(settings, _bronze(topic), pl.col("arrival_date") == day)
    for rows in bronze:
        yield from in_bronze(topic, rows)
        census.looked_at += rows.height
        progress(f"{_bronze(topic)} of {day}: {census.looked_at:,} records judged")
    dead = _rows(settings, DEAD_LETTERS, (pl.col("arrival_date") == day) & (pl.col("topic") == topic))
    for rows in dead:
        yield from in_dead_letters(topic, rows)
        census.looked_at += rows.height
        progress(f"{DEAD_LETTERS} of {day}: {census.looked_at:,} records judged")


def in_bronze(topic: str, rows: pl.DataFrame) -> Iterator[Misjudged]:
    contract = EVENTS[topic]
    times = [f.name for f in contract.fields if f.kind is Kind.TIME]
    columns = [*(f.name for f in contract.fields), "partition", "offset", "arrival", "value", "record_hash"]
    for row in rows.select(columns).iter_rows(named=True):
        key = row[contract.key].encode()  # bronze keeps no key: of a valid record it is this
        verdict = validate(topic, key, row["value"], milliseconds(row["arrival"]))
        if isinstance(verdict, Invalid):
            fields = {f.name: milliseconds(row[f.name]) if f.name in times else row[f.name] for f in contract.fields}
            yield _of(topic, row, key, Reading(), Reading(str(verdict.reason), verdict.field), fields)


def in_dead_letters(topic: str, rows: pl.DataFrame) -> Iterator[Misjudged]:
    for row in rows.iter_rows(named=True):
        before = Reading(row["reason"], row["field"])
        verdict = validate(topic, row["key"], row["value"], milliseconds(row["arrival"]))
        if isinstance(verdict, Valid):
            yield _of(topic, row, row["key"], before, Reading(), verdict.fields)
        elif before != (now := Reading(str(verdict.reason), verdict.field)):
            yield _of(topic, row, row["key"], before, now, None)


def _of(
    topic: str,
    row: Mapping[str, Any],
    key: bytes | None,
    before: Reading,
    now: Reading,
    fields: Mapping[str, Wire] | None,
) -> Misjudged:
    position = row["partition"], row["offset"], row["arrival"]
    return Misjudged(topic, *position, key, row["value"], row["record_hash"], before, now, fields)


def _rows(settings: Settings, name: str, where: pl.Expr) -> Iterator[pl.DataFrame]:
    if (opened := _open(settings, name)) is not None:
        yield from scan_opened(settings, name, opened).filter(where).collect_batches(chunk_size=_CHUNK)


def _bronze(topic: str) -> str:
    return f"bronze.{EVENTS[topic].table}"


def _open(settings: Settings, name: str) -> DeltaTable | None:
    try:
        return open_table(settings, name)
    except TableMissingError:
        return None
