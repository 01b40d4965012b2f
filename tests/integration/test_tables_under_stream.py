"""What is done to tables while the Spark stream writes them: nothing is lost, and all equals the reference at the end.

The tables are of an older contract when the stream starts. While it writes, they are compacted, vacuumed, get a column
more, and are read at an earlier version; another Spark reads one as a stream. At last gold is put back, and rebuilt.
"""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from deltalake import DeltaTable, Field
from deltalake.schema import PrimitiveType

from jobs.streaming.spark.progress import journal_path
from lakehouse.compare import COMPARED, Comparison, compare
from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import table
from lakehouse.delta import open_table, scan
from lakehouse.delta.describe import newest_first
from lakehouse.delta.maintenance import compact
from lakehouse.delta.tables import PROPERTIES
from lakehouse.drained.refreshes import outdated
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.settings import ROOT, Settings
from lakehouse.upkeep import maintain
from tests.integration.spark_lake import Driver, click, profile, purchase, send, version
from tests.integration.tables.writer_process import Writer, ready

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2400)]

WRITTEN = JOBS[SPARK_INGEST].writes
TABLES = [name for name in COMPARED if name in WRITTEN]
LACKING = {"silver.clicks": ("brand", "price_cents"), "gold.product_metrics_5m": ("ctr",)}
"""What the older contracts had not."""
GOLD = "gold.product_metrics_5m"
DAY = date(2026, 3, 2)


@dataclass
class Life:
    """What is to be known of the tables' life."""

    settings: Settings
    first: dict[str, int] = field(default_factory=dict)
    """Versions after the first part of the events, and when that was."""
    first_at: datetime = datetime.min
    before: dict[str, pl.DataFrame] = field(default_factory=dict)
    during: dict[str, pl.DataFrame] = field(default_factory=dict)
    """Rows of `first`, read then and read again while more was written and compacted."""
    at_time: int = -1
    rebuilt: str = ""
    outdated: dict[str, str] = field(default_factory=dict)
    read: list[tuple[int, int]] = field(default_factory=list)
    reader_restarts: int = 0
    comparison: Comparison | None = None


@pytest.fixture(scope="module")
def life(stack: "Stack", seed: int, tmp_path_factory: pytest.TempPathFactory) -> Life:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "life"})
    lived = Life(settings)
    create_topics(settings)
    for name, lacking in LACKING.items():
        create_older(settings, name, lacking)
    send(settings, [version("mug", -600, 100), profile("kim", 0, "A"), click("kim", 0), purchase("kim", 3)])
    send_day(settings, ShopDay(DAY, 1000, 100, seed, late=0.1, duplicates=0.05, broken=0.02), unsafe=True)
    send_day(settings, ShopDay(DAY, 0, 0, seed, late=0.1, duplicates=0.05, transactions=300))
    folder = tmp_path_factory.mktemp("reader")
    with Driver(settings) as driver:
        driver.drain()
        lived.first = {name: int(open_table(settings, name).version()) for name in WRITTEN}
        lived.first_at = datetime.now(UTC)
        lived.before = {name: rows(settings, name) for name in LACKING}
        reader = Writer("delta_reader", settings.namespace, folder / "journal", folder / "checkpoint")
        with ready(reader), maintained(settings):
            for part in range(2):
                send_day(settings, ShopDay(DAY, 300, 30, seed + part + 1, late=0.1, duplicates=0.05))
                send(settings, [version("mug", -10 * part, 200 + part)])
                driver.drain()
                if part == 0:
                    for name in ("bronze.clicks", *LACKING):
                        add_newer_column(settings, name)
                lived.during = {name: rows(settings, name, lived.first[name]) for name in LACKING}
            lived.at_time = int(open_table(settings, GOLD, timestamp=lived.first_at).version())
            reader.tell("finish")
            lived.reader_restarts = reader.answer()["restarts"]
            assert reader.finish() == ""
        driver.terminate()
    lines = [json.loads(line) for line in (folder / "journal").read_text().splitlines()]
    # A micro-batch that was repeated is the same batch.
    lived.read = [tuple(position) for _, batch in dict(lines).items() for position in batch]
    go_back_and_rebuild(lived)
    lived.comparison = compare(settings, TABLES)
    return lived


def create_older(settings: Settings, name: str, lacking: tuple[str, ...]) -> None:
    """The table as it was before its contract had gained the columns `lacking`."""
    schema = arrow_schema(table(name))
    for column in lacking:
        schema = schema.remove(schema.get_field_index(column))
    DeltaTable.create(
        settings.table_path(name),
        schema,
        partition_by=list(table(name).partition_by),
        configuration=PROPERTIES,
        storage_options=settings.delta_storage_options(),
    )


def add_newer_column(settings: Settings, name: str) -> None:
    """As a program of a newer contract does when it starts."""
    open_table(settings, name).alter.add_columns([Field("channel", PrimitiveType("string"), nullable=True)])


@contextmanager
def maintained(settings: Settings) -> Iterator[None]:
    """Within the block every table is compacted and cleaned over and over."""
    finished, errors = threading.Event(), []

    def work() -> None:
        try:
            last = False
            while not last:
                # A pause, as the stream shares the machine.
                last = finished.wait(20)
                for name in WRITTEN:
                    maintain(settings, name)
        except BaseException as error:  # the test's own thread reports it
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
    assert errors == []


def go_back_and_rebuild(lived: Life) -> None:
    """With the stream stopped, gold is put back to what it was, and rebuilt as the command says."""
    settings = lived.settings
    environment = os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace, "COLUMNS": "300"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    said = run("-m", "cli", "table", "restore", GOLD, "--version", str(lived.first[GOLD]))
    lived.outdated = outdated(settings)
    lived.rebuilt = said.partition("python ")[2].strip()
    run(*lived.rebuilt.split())


def rows(settings: Settings, name: str, version: int | None = None) -> pl.DataFrame:
    return scan(settings, name, version=version).sort(table(name).key).collect()


def test_every_table_equals_the_reference(life: Life) -> None:
    assert life.comparison is not None
    assert [t for t in life.comparison.tables if not t.equal] == []
    assert life.comparison.accounting.balanced


@pytest.mark.parametrize("name", LACKING)
def test_the_stream_adds_the_columns_that_its_contracts_have_gained(life: Life, name: str) -> None:
    (added,) = [
        c for c in newest_first(open_table(life.settings, name)) if c.operation == "ADD COLUMN" and c.version == 1
    ]
    assert added.version < life.first[name]
    assert all(life.before[name][column].count() for column in LACKING[name])


def test_the_stream_goes_on_when_a_table_gets_a_column_that_it_does_not_know(life: Life) -> None:
    lines = [json.loads(line) for line in journal_path(life.settings).read_text().splitlines()]
    assert [line for line in lines if line["event"] == "failed"] == []
    assert "channel" in {f.name for f in open_table(life.settings, "silver.clicks").schema().fields}


@pytest.mark.parametrize("name", LACKING)
def test_an_earlier_version_reads_the_same_while_the_table_changes(life: Life, name: str) -> None:
    assert life.during[name].equals(life.before[name])
    assert rows(life.settings, name).height > life.before[name].height


def test_a_time_gives_the_version_that_was_newest_then(life: Life) -> None:
    assert life.at_time == life.first[GOLD]


def test_tables_were_compacted_while_the_stream_wrote(life: Life) -> None:
    done = Counter(
        name for name in WRITTEN for c in newest_first(open_table(life.settings, name)) if c.operation == "OPTIMIZE"
    )
    assert {"bronze.clicks", "silver.clicks", GOLD} <= set(done)
    assert compact(life.settings, "bronze.clicks").files_after <= 2


def test_a_reader_of_the_stream_sees_each_row_once(life: Life) -> None:
    stored = scan(life.settings, "bronze.clicks").select("partition", "offset").collect()
    assert sorted(life.read) == sorted(stored.iter_rows())
    assert life.reader_restarts == 1


def test_gold_that_was_put_back_is_known_to_be_outdated_and_is_rebuilt(life: Life) -> None:
    assert GOLD in life.outdated
    assert "--publish" in life.rebuilt
    assert GOLD not in outdated(life.settings)
