"""A stretch of a partition's records as the reference has judged them: an Arrow file."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from lakehouse.contracts.events import EVENTS, EventContract, Kind
from lakehouse.semantics.events import EVENT_TYPES, Event
from lakehouse.semantics.log import DeadLetter, KafkaRecord, parse

CHUNK_RECORDS: Final = 50_000
_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True, slots=True)
class Segment:
    """The records of one partition with start <= offset < end, but those in the spans `lost` (end exclusive)."""

    topic: str
    partition: int
    start: int
    end: int
    path: Path
    lost: tuple[tuple[int, int], ...] = ()

    def frame(self, columns: Iterable[str]) -> pl.DataFrame:
        """Some columns: payload fields (times in ms), partition, offset, arrival, key, value, record_hash,
        and reason and field, which are null for a valid record."""
        names = list(columns)
        if not self.lost:
            return pl.read_ipc(self.path, columns=names)
        rows = pl.read_ipc(self.path, columns=list(dict.fromkeys([*names, "offset"])))
        gone = pl.any_horizontal(pl.col("offset").is_between(*span, closed="left") for span in self.lost)
        return rows.filter(~gone).select(names)


def segment_schema(contract: EventContract) -> pa.Schema:
    payload = [(f.name, pa.int64() if f.kind in (Kind.INTEGER, Kind.TIME) else pa.string()) for f in contract.fields]
    record = [("partition", pa.int32()), ("offset", pa.int64()), ("arrival", pa.int64()), ("key", pa.binary())]
    judged = [("value", pa.binary()), ("record_hash", pa.int64()), ("reason", pa.string()), ("field", pa.string())]
    return pa.schema([*payload, *record, *judged])


def write_segment(topic: str, records: Iterable[KafkaRecord], path: Path) -> None:
    """Judges `records` and writes them; the file appears whole or not at all."""
    schema = segment_schema(EVENTS[topic])
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema, options=_COMPRESSED) as writer:
        for rows in _chunks(judge(topic, records)):
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    unfinished.rename(path)


def judge(topic: str, records: Iterable[KafkaRecord]) -> Iterator[tuple[object, ...]]:
    """Each record as a row of `segment_schema`."""
    payload = len(EVENTS[topic].fields)
    nothing = (None,) * payload
    for record in records:
        found = parse(record)
        at = (record.partition, record.offset, record.arrival_ms, record.key, record.value, found.record_hash)
        if isinstance(found, DeadLetter):
            yield (*nothing, *at, str(found.reason), found.field)
        else:
            yield (*found[:payload], *at, None, None)


def _chunks(rows: Iterator[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_RECORDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def events_of(segment: Segment) -> Iterator[Event | DeadLetter]:
    """What the segment's records were judged to be."""
    event_type = EVENT_TYPES[segment.topic]
    # Strings repeat (ids, regions, pages): keeping one of each takes a third of the memory.
    keep: dict[object, object] = {}
    names = [name for name in event_type._fields if name != "topic"]
    frame = segment.frame([*names, "reason", "field"])
    dead = frame.filter(pl.col("reason").is_not_null())
    for row in dead.select("partition", "offset", "arrival", "reason", "field", "record_hash").iter_rows():
        yield DeadLetter(segment.topic, *row)
    valid = frame.filter(pl.col("reason").is_null())
    columns: list[list[object]] = []
    for name in event_type._fields:
        if name == "topic":
            columns.append([segment.topic] * valid.height)
        elif valid.schema[name] == pl.String and name != "event_id":
            columns.append([keep.setdefault(value, value) for value in valid[name].to_list()])
        else:
            columns.append(valid[name].to_list())
    yield from map(event_type._make, zip(*columns, strict=True))
