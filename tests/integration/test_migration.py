"""A new table of a topic: a batch job writes the backlog up to a cut, a stream goes on from it: no gap, no overlap."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jobs.streaming.spark.migrated import CONTRACT, TABLE
from lakehouse.compare.reference import Reference
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, TableMissingError, append, open_table, scan
from lakehouse.delta.describe import Commit, newest_first
from lakehouse.delta.notes import Batch
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.migration_cut import Cut, take_cut
from lakehouse.produce import send_day
from lakehouse.settings import ROOT, Settings
from tests.command import lakehouse
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

DAY = date(2026, 3, 2)
CHUNK = 600
SECONDS = 400
BATCH, STREAM = "migrate", "clicks__migrated"


def test_chunks_cover_the_backlog_once() -> None:
    cut = Cut("t", {0: 5, 1: 0, 2: 7}, {0: 12, 1: 3, 2: 7}, 3)
    chunks = list(cut.chunks())
    covered = [(p, offset) for first, end in chunks for p in first for offset in range(first[p], end[p])]
    assert sorted(covered) == [(p, offset) for p in cut.first for offset in range(cut.first[p], cut.end[p])]
    assert len(chunks) == 3
    assert Cut.parse(str(cut)) == cut


@dataclass(frozen=True)
class Migration:
    """`sent_before` is where the topic ended when the cut was taken."""

    settings: Settings
    sent_before: dict[int, int]
    ends: dict[int, int]
    expected: pl.DataFrame


@pytest.fixture(scope="module")
def migration(stack: "Stack", seed: int) -> Migration:
    """The batch job is killed after its first chunk; more events come; it runs again beside the stream."""
    settings = stack.ensure("kafka", "minio").model_copy(update={"namespace": "migration"})
    create_topics(settings)
    send_day(settings, ShopDay(DAY, 3000, 30, seed, duplicates=0.05, broken=0.02), unsafe=True)
    before = kafka_ends(settings)[CONTRACT.topic]
    with running(settings, "jobs.batch.migrate", "--chunk-records", str(CHUNK)):
        until(lambda: bool(commits(settings, BATCH)), SECONDS, "a chunk is committed")
    send_day(settings, ShopDay(DAY, 1000, 10, seed + 1, duplicates=0.05, broken=0.02), unsafe=True)
    ends = kafka_ends(settings)
    reference = Reference.read(settings, ends)
    expected = pl.concat([reference.stored("bronze.clicks", p) for p in reference.partitions])
    with running(settings, "jobs.streaming.spark.migrated"), running(settings, "jobs.batch.migrate") as backlog:
        assert backlog.wait(SECONDS) == 0
        until(lambda: scan(settings, TABLE).collect().height >= expected.height, SECONDS, "the stream has read all")
    return Migration(settings, before, ends[CONTRACT.topic], expected)


@contextmanager
def running(settings: Settings, module: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is killed at the block's end, if it still runs."""
    log = settings.home / "logs" / f"{settings.namespace}.{module}.log"
    environment = os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace, "LAKEHOUSE_SPARK_DRIVER_MEMORY": "768m"}
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def commits(settings: Settings, job: str) -> list[Commit]:
    try:
        opened = open_table(settings, TABLE)
    except TableMissingError:
        return []
    return [commit for commit in newest_first(opened) if isinstance(commit.note, Batch) and commit.note.job == job]


def positions(settings: Settings, job: str) -> dict[int, set[int]]:
    """The offsets in the commits of `job`, by partition: what each version has beyond the one before."""
    found: dict[int, set[int]] = {}
    for commit in commits(settings, job):
        after, before = (
            scan(settings, TABLE, version=commit.version - n).select("partition", "offset") for n in (0, 1)
        )
        for partition, offset in after.join(before, ["partition", "offset"], "anti").collect().iter_rows():
            found.setdefault(partition, set()).add(offset)
    return found


def test_the_table_is_what_kafka_holds(migration: Migration) -> None:
    columns, key = table(TABLE).compared_columns, table(TABLE).key
    stored = scan(migration.settings, TABLE).select(columns).sort(key).collect()
    assert_frame_equal(stored, migration.expected.select(columns).sort(key))


def test_the_batch_job_wrote_up_to_the_cut_and_the_stream_from_there(migration: Migration) -> None:
    valid = {p: set(frame["offset"]) for (p,), frame in migration.expected.group_by("partition")}
    backlog, stream = (positions(migration.settings, job) for job in (BATCH, STREAM))
    assert migration.sent_before != migration.ends
    for partition, cut in migration.sent_before.items():
        assert backlog.get(partition, set()) == {offset for offset in valid.get(partition, set()) if offset < cut}
        assert stream.get(partition, set()) == {offset for offset in valid.get(partition, set()) if offset >= cut}


def test_the_ledger_finds_each_record_once(migration: Migration) -> None:
    reference = Reference.read(migration.settings, {CONTRACT.topic: migration.ends})
    for partition in reference.partitions:  # theirs is another writer, which does not run here
        letters = reference.stored("bronze.dead_letters", partition)
        append(migration.settings, "bronze.dead_letters", to_arrow("bronze.dead_letters", letters), Once.new("test"))

    audited = lakehouse(migration.settings, "audit", "--table", TABLE)

    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert f"0 lost, 0 doubled, 0 altered of {sum(migration.ends.values()):,} records" in audited.stdout


def test_a_chunk_is_written_once_though_its_writer_was_killed(migration: Migration) -> None:
    chunks = [commit.note.batch_id for commit in commits(migration.settings, BATCH)]
    cut = take_cut(migration.settings, TABLE, CONTRACT.topic)
    assert sorted(chunks) == list(range(len(list(cut.chunks()))))
    assert len(chunks) > 2


def test_of_those_that_take_a_cut_at_once_all_get_the_same(migration: Migration) -> None:
    other = migration.settings.model_copy(update={"namespace": "migration_cuts"})
    create_topics(other)
    with ThreadPoolExecutor(4) as pool:
        cuts = list(pool.map(lambda chunk: take_cut(other, TABLE, CONTRACT.topic, chunk), (60, 120, 180, 240)))
    assert len({str(cut) for cut in cuts}) == 1
