"""Kafka's records, read and judged once, as Arrow files: one per stretch of a partition.

A log never changes below its end, so a stretch that was judged is judged for good: a later comparison reads
Kafka from where the last one ended. The files hold what the reference made of Kafka, nothing that the pipeline
wrote. They are void when the topic was created anew (its id is part of the path), and when the log ends before them.
When the rules changed (a digest of contracts and semantics is part of the path too), the records in them are judged
anew: Kafka may have forgotten these.
"""

import hashlib
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from lakehouse.contracts.events import EVENTS, EventContract, Kind
from lakehouse.kafka.consumer import Record, read_partitions
from lakehouse.kafka.topics import topic_ids
from lakehouse.semantics.events import EVENT_TYPES, Event
from lakehouse.semantics.log import DeadLetter, KafkaRecord, parse
from lakehouse.settings import ROOT, Settings

CHUNK_RECORDS: Final = 50_000
PROCESSES: Final = 2
FEW_RECORDS: Final = 100_000
"""Up to so many are read in this process, a topic at a time: starting others takes longer."""

_RAW: Final = ["offset", "arrival", "key", "value"]

Offsets = Mapping[str, Mapping[int, int]]
"""End offsets (exclusive) by topic, without namespace, and partition."""


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


_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="zstd")


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


@lru_cache
def rules_digest() -> str:
    """Changes when the code that judges records does."""
    digest = hashlib.sha256()
    sources = [*ROOT.glob("lakehouse/contracts/*.py"), ROOT / "lakehouse/semantics/log.py", Path(__file__)]
    for source in sorted(sources):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory(settings: Settings) -> Path:
    return settings.home / "data" / "reference" / (settings.namespace or "main")


def read_segments(settings: Settings, ends: Offsets, progress: Callable[[int], None] | None = None) -> list[Segment]:
    """The records of every partition from its first offset, 0, to its end in `ends`.

    `progress` is called with the number of records newly judged. Partitions are judged side by side in
    `PROCESSES` processes when there is much to read.

    Raises:
        ReadError: retention has removed records that were never read: they can't be compared any more.
        ServiceDownError: Kafka does not answer.
    """
    report = progress or (lambda _records: None)
    root = cache_directory(settings) / rules_digest()
    # An id is Base64, which has slashes: here it names a directory.
    directories = {topic: f"{topic}/{found.replace('/', '_')}" for topic, found in topic_ids(settings, ends).items()}
    for found in _under_other_rules(root, directories):
        judge_again(*found)
        report(found[1].end - found[1].start)
    _remove_siblings(root)
    known: list[Segment] = []
    owed: list[Segment] = []
    for topic, of_topic_id in directories.items():
        _remove_siblings(root / of_topic_id)
        for partition, end in ends[topic].items():
            directory = root / of_topic_id / str(partition)
            segments = _chain(topic, partition, end, directory)
            known += segments
            reached = segments[-1].end if segments else 0
            if reached < end:
                owed.append(Segment(topic, partition, reached, end, directory / f"{reached}-{end}.arrow"))
    owed.sort(key=lambda s: s.start - s.end)
    if sum(s.end - s.start for s in owed) <= FEW_RECORDS:
        for topic in ends:
            of_topic = [s for s in owed if s.topic == topic]
            _read(settings, topic, of_topic)
            report(sum(s.end - s.start for s in of_topic))
    else:
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(_read_large, settings, segment): segment for segment in owed}
            for future in as_completed(futures):
                future.result()
                report(futures[future].end - futures[future].start)
    return known + owed


def _under_other_rules(root: Path, directories: Mapping[str, str]) -> Iterator[tuple[Path, Segment]]:
    """Files of present topics that were judged by other rules, each with what it is to become."""
    for topic, directory in directories.items():
        for other in root.parent.glob("*"):
            for path in sorted((other / directory).glob("*/*.arrow")) if other != root else ():
                first, end = (int(offset) for offset in path.stem.split("-"))
                again = root / path.relative_to(other)
                if not again.exists():
                    yield path, Segment(topic, int(path.parent.name), first, end, again)


def judge_again(judged: Path, segment: Segment) -> None:
    """Judges the records of a file, by their raw bytes, and writes them as `segment`."""
    with pa.OSFile(str(judged)) as file, pa.ipc.open_file(file) as batches:
        raw = (batches.get_batch(n).select(_RAW) for n in range(batches.num_record_batches))
        rows = (row for batch in raw for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
        write_segment(segment.topic, (Record(segment.topic, segment.partition, *row) for row in rows), segment.path)


def _read(settings: Settings, topic: str, segments: list[Segment]) -> None:
    """Reads partitions of a topic together, which takes one consumer; all their records are in memory at once."""
    if not segments:
        return
    records: dict[int, list[KafkaRecord]] = {s.partition: [] for s in segments}
    starts, ends = {s.partition: s.start for s in segments}, {s.partition: s.end for s in segments}
    for record in read_partitions(settings, topic, starts, ends):
        records[record.partition].append(record)
    for segment in segments:
        write_segment(topic, records[segment.partition], segment.path)


def _read_large(settings: Settings, segment: Segment) -> None:
    """Reads one partition as it comes."""
    records = read_partitions(
        settings, segment.topic, {segment.partition: segment.start}, {segment.partition: segment.end}
    )
    write_segment(segment.topic, records, segment.path)


def _chain(topic: str, partition: int, end: int, directory: Path) -> list[Segment]:
    """The files that, joined, reach from offset 0 to at most `end`."""
    by_start: dict[int, Segment] = {}
    for path in directory.glob("*.arrow"):
        first, last = (int(offset) for offset in path.stem.split("-"))
        longest = by_start.get(first)
        if last <= end and (longest is None or longest.end < last):
            by_start[first] = Segment(topic, partition, first, last, path)
    chain: list[Segment] = []
    reached = 0
    while reached in by_start:
        chain.append(by_start[reached])
        reached = by_start[reached].end
    return chain


def _remove_siblings(current: Path) -> None:
    """Files of a topic that is no more, or of other rules, are of no use any more."""
    if current.parent.is_dir():
        for directory in current.parent.iterdir():
            if directory != current:
                shutil.rmtree(directory, ignore_errors=True)
