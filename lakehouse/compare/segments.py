"""Kafka's records, read and judged once, as Arrow files: one per stretch of a partition.

A log never changes below its end, so a stretch that was judged is judged for good: a later comparison reads
Kafka from where the last one ended. The files hold what the reference made of Kafka, nothing that the pipeline
wrote. They are void when the topic was created anew (its id is part of the path), and when the log ends before them.
When the rules changed (a digest of contracts and semantics is part of the path too), the records in them are judged
anew: Kafka may have forgotten these. What Kafka had forgotten before any comparison read it is read from bronze
(`forgotten`).
"""

import hashlib
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa

from lakehouse.compare import judged
from lakehouse.compare.forgotten import Stretch, Unproved, stretches
from lakehouse.compare.judged import Segment, write_segment
from lakehouse.kafka.consumer import Record, read_partitions
from lakehouse.kafka.topics import topic_ids
from lakehouse.semantics.log import KafkaRecord
from lakehouse.settings import ROOT, Settings

PROCESSES: Final = 2
FEW_RECORDS: Final = 100_000
"""Up to so many are read in this process, a topic at a time: starting others takes longer."""

_RAW: Final = ["offset", "arrival", "key", "value"]

Offsets = Mapping[str, Mapping[int, int]]
"""End offsets (exclusive) by topic, without namespace, and partition."""


@lru_cache
def rules_digest() -> str:
    """Changes when the code that judges records does."""
    digest = hashlib.sha256()
    sources = [*ROOT.glob("lakehouse/contracts/*.py"), ROOT / "lakehouse/semantics/log.py", Path(judged.__file__)]
    for source in sorted(sources):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory(settings: Settings) -> Path:
    return settings.home / "data" / "reference" / (settings.namespace or "main")


def read_segments(
    settings: Settings, ends: Offsets, progress: Callable[[int], None] | None = None
) -> tuple[list[Segment], list[Unproved]]:
    """The records of every partition from its first offset, 0, to its end in `ends`.

    `progress` is called with the number of records newly judged. Partitions are judged side by side in
    `PROCESSES` processes when there is much to read.

    Returns beside them what of them is unproved.

    Raises:
        ReadError: retention removed records while they were read.
        ServiceDownError: Kafka or MinIO does not answer.
    """
    report = progress or (lambda _records: None)
    root = cache_directory(settings) / rules_digest()
    # An id is Base64, which has slashes: here it names a directory.
    of_topics = topic_ids(settings, ends)
    directories = {topic: f"{topic}/{found.replace('/', '_')}" for topic, found in of_topics.items()}
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
            if (reached := segments[-1].end if segments else 0) < end:
                owed.append(_to_read(topic, partition, reached, end, directory))
    from_bronze = stretches(settings, of_topics, owed)
    reached_by = {(each.segment.topic, each.segment.partition): each.segment.end for each in from_bronze}
    rest = ((each, reached_by.get((each.topic, each.partition), each.start)) for each in owed)
    from_kafka = [_to_read(s.topic, s.partition, start, s.end, s.path.parent) for s, start in rest if start < s.end]
    return _written(settings, known, from_bronze, from_kafka, report)


def _to_read(topic: str, partition: int, start: int, end: int, directory: Path) -> Segment:
    return Segment(topic, partition, start, end, directory / f"{start}-{end}.arrow")


def _written(
    settings: Settings,
    known: list[Segment],
    from_bronze: list[Stretch],
    from_kafka: list[Segment],
    report: Callable[[int], None],
) -> tuple[list[Segment], list[Unproved]]:
    written = list(known)
    unproved: list[Unproved] = []

    def take(found: tuple[Segment, list[Unproved]]) -> None:
        written.append(found[0])
        unproved.extend(found[1])
        report(_length(found[0]))

    if sum(map(_length, from_kafka)) + sum(_length(each.segment) for each in from_bronze) <= FEW_RECORDS:
        for stretch in from_bronze:
            take(stretch.write(settings))
        for topic in dict.fromkeys(segment.topic for segment in from_kafka):
            of_topic = [s for s in from_kafka if s.topic == topic]
            _read(settings, topic, of_topic)
            for segment in of_topic:
                take((segment, []))
    else:
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(stretch.write, settings) for stretch in from_bronze]
            longest_first = sorted(from_kafka, key=_length, reverse=True)
            futures += [pool.submit(_read_large, settings, segment) for segment in longest_first]
            for future in as_completed(futures):
                take(future.result())
    return written, sorted(unproved, key=lambda each: (each.topic, each.partition, each.first))


def _length(segment: Segment) -> int:
    return segment.end - segment.start


def _under_other_rules(root: Path, directories: Mapping[str, str]) -> Iterator[tuple[Path, Segment]]:
    """Files of present topics that were judged by other rules, each with what it is to become."""
    for topic, directory in directories.items():
        for other in root.parent.glob("*"):
            for path in sorted((other / directory).glob("*/*.arrow")) if other != root else ():
                first, end = (int(offset) for offset in path.stem.split("-"))
                again = root / path.relative_to(other)
                if not again.exists():
                    yield path, Segment(topic, int(path.parent.name), first, end, again)


def judge_again(file: Path, segment: Segment) -> None:
    """Judges the records of a file, by their raw bytes, and writes them as `segment`."""
    with pa.OSFile(str(file)) as source, pa.ipc.open_file(source) as batches:
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


def _read_large(settings: Settings, segment: Segment) -> tuple[Segment, list[Unproved]]:
    """Reads one partition as it comes; nothing of it is unproved."""
    records = read_partitions(
        settings, segment.topic, {segment.partition: segment.start}, {segment.partition: segment.end}
    )
    write_segment(segment.topic, records, segment.path)
    return segment, []


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
