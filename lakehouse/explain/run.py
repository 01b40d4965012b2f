"""From a table and a key to an explanation, by partitions and predicates: what is not near the row is not read."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import finer
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, VersionMissingError
from lakehouse.delta.describe import standing, versions_read
from lakehouse.delta.notes import Publication
from lakehouse.explain.behind import (
    ALERTS,
    EXPLAINED,
    FUNNEL,
    SESSIONS,
    NotExplainedError,
    Part,
    behind,
    drawn_from,
    of_day,
)
from lakehouse.explain.changes import RowHistory
from lakehouse.explain.explanation import RECORDS, Explanation, Status
from lakehouse.explain.keys import NoSuchRowError, nearest, parse_key, where_key
from lakehouse.explain.records import records_of, with_lateness
from lakehouse.ledger.tables import Tables
from lakehouse.settings import Settings


def explain(settings: Settings, name: str, values: Sequence[str]) -> Explanation:
    """Explains the row of the table `name` whose key, in the contract's order, is written as `values`.

    Raises:
        UnknownTableError, NotExplainedError: there is no such table, or its rows are not made of events.
        BadKeyError, NoSuchRowError: the values are no key of it, or no row has this key.
        TableMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
    """
    contract = table(name)
    if name not in EXPLAINED:
        raise NotExplainedError(name)
    return _Run(settings, name).run(parse_key(contract, values))


def explain_row(settings: Settings, name: str, key: Mapping[str, Any], *, last_change: bool = True) -> Explanation:
    """As `explain`, for a key as the table has it; without `last_change` it costs a fraction, and `changed` is None."""
    return _Run(settings, name).run(key, last_change)


class _Run:
    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._tables = Tables(settings)
        self._notes: list[str] = []
        self._seconds: dict[str, float] = {}

    def run(self, key: Mapping[str, Any], last_change: bool = True) -> Explanation:
        contract = table(self._name)
        with self._step("row"):
            opened = self._tables.pin(self._name)
            if opened is None:
                raise TableMissingError(contract)
            where = where_key(contract, key)
            history = RowHistory(self._settings, self._name, opened, where)
            rows = self._tables.scan(self._name).filter(where).collect().to_dicts()
            if not rows:
                raise NoSuchRowError(contract, key, nearest(contract, self._tables.scan(self._name), key))
            row = rows[0]
            if len(rows) > 1:
                self._notes.append(f"the row is there {len(rows)} times: run `lakehouse audit`")
        with self._step("versions"):
            said = self._versions(self._name, row)
            parts = behind(self._name, row, self._sessions(row, said) if self._name == FUNNEL else None)
            read = self._read(said, {part.topic for part in parts})
        with self._step("records"):
            records = self._records(parts, read)
        with self._step("lateness"):
            by_topic = records.partition_by("topic", as_dict=True)
            late = [with_lateness(of_topic, self._bronze(str(topic))) for (topic,), of_topic in by_topic.items()]
            records = pl.concat([pl.DataFrame(schema=RECORDS), *late])
        with self._step("last change"):
            changed = history.last_change() if last_change else None
        if changed is None and last_change:
            self._notes.append("what last changed it is no longer in the history, which is kept for 7 days")
        return Explanation(
            self._name,
            int(opened.version()),
            key,
            row,
            read,
            _in_order(records),
            changed,
            tuple(self._notes),
            self._seconds,
        )

    def _records(self, parts: Sequence[Part], read: Mapping[str, int]) -> pl.DataFrame:
        own = "record_hash" in table(self._name).column_names  # its rows are the records that it has
        frames = [
            records_of(
                part,
                self._tables.scan(self._name) if own and part.counted else self._silver(part.topic, read),
                self._bronze(part.topic),
            )
            for part in parts
        ]
        # What a rule looked at may be what it counted.
        found = pl.concat([pl.DataFrame(schema=RECORDS), *frames])
        return found.unique(["topic", "partition", "offset"], keep="first", maintain_order=True)

    def _bronze(self, topic: str) -> pl.LazyFrame:
        return self._tables.scan(f"bronze.{EVENTS[topic].table}")

    def _silver(self, topic: str, read: Mapping[str, int]) -> pl.LazyFrame:
        name = f"silver.{EVENTS[topic].table}"
        return self._tables.scan(name, read.get(name))

    def _sessions(self, row: Mapping[str, Any], said: Mapping[str, int]) -> pl.DataFrame:
        version = self._kept(SESSIONS, said.get(SESSIONS))
        return of_day(self._tables.scan(SESSIONS, version), row)

    def _read(self, said: Mapping[str, int], topics: set[str]) -> dict[str, int]:
        """The silver versions that the row was computed from; the newest where nobody says, or it is no longer kept."""
        names = sorted(f"silver.{EVENTS[topic].table}" for topic in topics)
        versions = {name: self._kept(name, None if name == self._name else said.get(name)) for name in names}
        return {name: version for name, version in versions.items() if version is not None}

    def _kept(self, name: str, said: int | None) -> int | None:
        """The version `said`, or the newest in its place; None of a table that was never written."""
        newest = self._tables.version(name)
        if newest is None or said is None or said >= newest:
            return newest
        try:
            self._tables.scan(name, said)
        except VersionMissingError as error:
            self._notes.append(f"{error}: its newest stands for the one that the row was computed from")
            return newest
        return said

    def _versions(self, name: str, row: Mapping[str, Any], until: int | None = None) -> dict[str, int]:
        """By table, the version that `name`, at its version `until`, was computed from, be it by way of another."""
        opened = self._tables.pin(name)
        if opened is None:
            return {}
        if name.startswith("marts."):
            notes = (commit.note for commit in standing(opened))
            published = (note for note in notes if isinstance(note, Publication) and note.day == row["event_date"])
            said = next((note.read_versions for note in published), {})
        else:
            said = versions_read(opened, until)
        via = drawn_from(row)[0] if name == ALERTS else finer(name)
        if via in said:
            return self._versions(via, row, int(said[via])) | said
        return said

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began


def _in_order(records: pl.DataFrame) -> pl.DataFrame:
    """What counted first, then by event time and position."""
    rank = {str(status): n for n, status in enumerate(Status)}
    return records.sort(
        pl.col("status").replace_strict(rank, return_dtype=pl.Int8), "event_time", "topic", "partition", "offset"
    )
