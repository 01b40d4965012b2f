"""Tables that don't have their contract's shape: a column more or less, another type, or no table at all."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.columns import Column, Type
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import table
from lakehouse.delta import (
    NoDeltaTableError,
    Once,
    ProtocolTooNewError,
    SchemaMismatchError,
    append,
    create_table,
    open_table,
    replace_all,
)
from lakehouse.delta.describe import newest_first
from lakehouse.delta.tables import PROPERTIES
from lakehouse.delta.write import to_arrow
from lakehouse.object_store import build_client
from lakehouse.runtime.reconcile import start, stop, view
from lakehouse.semantics import Events
from lakehouse.settings import ROOT, Settings
from tests.integration.tables.log_files import log_prefix
from tests.lake import expected, stored
from tests.strategies import click, positioned, purchase
from tests.waiting import until

pytestmark = pytest.mark.stack

CLICKS = "silver.clicks"
EVENTS = Events.of(positioned([click("ana", "10:00"), click("émile", "34:00", None)]))
GAINED = ("brand", "price_cents")


@pytest.fixture
def older(lake) -> Settings:
    """`silver.clicks` with rows, as it was before its contract had gained two columns."""
    rows = to_arrow(CLICKS, expected(CLICKS, EVENTS)).drop_columns(list(GAINED))
    stand(lake, rows)
    return lake


def stand(lake: Settings, rows: pa.Table, partition_by: tuple[str, ...] = ("event_date",)) -> None:
    """A table of just these columns."""
    options = lake.delta_storage_options()
    where = lake.table_path(CLICKS)
    DeltaTable.create(
        where, rows.schema, partition_by=list(partition_by), configuration=PROPERTIES, storage_options=options
    )
    write_deltalake(where, rows, mode="append", storage_options=options)


def test_a_column_that_the_contract_has_gained_is_added_and_null_in_older_rows(older):
    create_table(older, CLICKS)
    assert {f.name for f in open_table(older, CLICKS).schema().fields} == set(table(CLICKS).column_names)
    assert stored(older, CLICKS)["brand"].to_list() == [None, None]
    assert open_table(older, CLICKS).protocol().min_writer_version == 2
    append(older, CLICKS, to_arrow(CLICKS, expected(CLICKS, EVENTS).with_columns(brand=pl.lit("acme"))), Once("new"))
    assert sorted(stored(older, CLICKS)["brand"].to_list(), key=str) == [None, None, "acme", "acme"]


def test_a_column_that_the_contract_lets_be_null_is_loosened(lake):
    """A sum of money was never null before a sum that doesn't fit was told from one that does."""
    name, events = "gold.user_totals", Events.of(positioned([purchase("ana", "10:00")]))
    rows = to_arrow(name, expected(name, events))
    strict = pa.schema([field.with_nullable(field.nullable and field.name != "revenue_cents") for field in rows.schema])
    DeltaTable.create(
        lake.table_path(name), strict, configuration=PROPERTIES, storage_options=lake.delta_storage_options()
    )
    append(lake, name, rows, Once("older"))
    nulls = {f.name for f in open_table(lake, name).schema().fields if f.nullable}
    assert nulls == {c.name for c in table(name).columns if c.nullable} == {"revenue_cents"}
    aside = expected(name, events).with_columns(revenue_cents=pl.lit(None, pl.Int64))
    append(lake, name, to_arrow(name, aside), Once("older", 1))
    assert stored(lake, name)["revenue_cents"].null_count() == aside.height > 0
    protocol = open_table(lake, name).protocol()
    assert (protocol.min_writer_version, protocol.writer_features) == (2, None)


def test_a_version_from_before_the_column_reads_null(older):
    create_table(older, CLICKS)
    assert stored(older, CLICKS, version=1)["price_cents"].to_list() == [None, None]
    assert "price_cents" in command(older, "table", "read", CLICKS, "--version", "1", "--format", "csv")
    read = command(older, "table", "read", CLICKS, "--where", "brand IS NULL", "--version", "1", "--format", "json")
    assert [json.loads(line)["brand"] for line in read.splitlines()] == [None, None]


def test_adding_a_column_again_commits_nothing(older):
    assert create_table(older, CLICKS).version() == create_table(older, CLICKS).version() == 2


def test_of_several_that_add_a_column_at_once_one_does(older):
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: int(create_table(older, CLICKS).version()), range(4)))
    assert set(versions) == {2}
    assert [c.operation for c in newest_first(open_table(older, CLICKS))].count("ADD COLUMN") == 1


def test_a_writer_of_an_older_contract_goes_on_beside_a_newer_column(lake):
    rows = to_arrow(CLICKS, expected(CLICKS, EVENTS))
    append(lake, CLICKS, rows, Once("older"))
    open_table(lake, CLICKS).alter.add_columns([Field("channel", PrimitiveType("string"), nullable=True)])
    append(lake, CLICKS, rows, Once("older", 1))
    replace_all(lake, CLICKS, rows, Once("older", 2))
    assert stored(lake, CLICKS).equals(expected(CLICKS, EVENTS))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop_columns(["region"]), "region is missing and may not be null"),
        (
            lambda rows: rows.drop_columns(["partition"]).append_column("partition", rows["offset"]),
            "partition is long, declared is integer",
        ),
        (
            lambda rows: rows.append_column(pa.field("x", pa.int64(), nullable=False), rows["offset"]),
            "x is in the table alone and forbids nulls",
        ),
    ],
    ids=["missing", "another type", "one more"],
)
def test_a_schema_that_does_not_fit_says_where(lake, change, said):
    rows = change(to_arrow(CLICKS, expected(CLICKS, EVENTS)))
    stand(lake, rows)
    with pytest.raises(SchemaMismatchError, match=f"silver.clicks at s3://.* does not fit its contract: {said}"):
        create_table(lake, CLICKS)
    with pytest.raises(SchemaMismatchError, match=said):
        append(lake, CLICKS, to_arrow(CLICKS, expected(CLICKS, EVENTS)), Once("test"))
    assert open_table(lake, CLICKS).version() == 1


def test_another_partitioning_says_so(lake):
    stand(lake, to_arrow(CLICKS, expected(CLICKS, EVENTS)), ("region",))
    with pytest.raises(SchemaMismatchError, match="partitioned by region, declared is event_date"):
        create_table(lake, CLICKS)


def test_a_column_of_every_type_can_be_added(lake, monkeypatch):
    create_table(lake, CLICKS)
    contract = table(CLICKS)
    gained = tuple(Column(f"new_{kind.name.lower()}", kind, nullable=True) for kind in Type)
    wider = type(contract)(
        contract.name, contract.owner, (*contract.columns, *gained), contract.key, contract.partition_by
    )
    monkeypatch.setattr("lakehouse.delta.tables.table", lambda _: wider)
    stored_schema = pa.schema(create_table(lake, CLICKS).schema())
    assert {f.name: f.type for f in stored_schema} == {f.name: f.type for f in arrow_schema(wider)}


def test_a_path_that_is_no_delta_table_is_left_alone(lake):
    key = f"{lake.namespace}/silver/clicks/part-0.parquet"
    build_client(lake).put_object(lake.bucket, key, io.BytesIO(b"x"), 1)
    said = "silver/clicks is no Delta table: it holds part-0.parquet and no _delta_log; move away what is not silver"
    for work in (create_table, open_table):
        with pytest.raises(NoDeltaTableError, match=said):
            work(lake, CLICKS)
    assert said in command(lake, "table", "read", CLICKS, fails=1)


@contextmanager
def newer_protocol(lake: Settings) -> Iterator[None]:
    """Within the block the table asks of its readers what no reader here has."""
    version = int(create_table(lake, CLICKS).version()) + 1
    feature = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["new"], "writerFeatures": ["new"]}
    content = json.dumps({"protocol": feature}).encode()
    store, key = build_client(lake), f"{log_prefix(lake, CLICKS)}{version:020}.json"
    store.put_object(lake.bucket, key, io.BytesIO(content), len(content))
    try:
        yield
    finally:
        store.remove_object(lake.bucket, key)


@pytest.fixture
def newer(lake) -> Iterator[Settings]:
    with newer_protocol(lake):
        yield lake


def test_a_newer_protocol_is_said_to_be_one(newer):
    said = "silver.clicks at s3://.* is of a newer Delta protocol than reader 1, writer 2 .*Feature 'new'"
    for work in (create_table, open_table):
        with pytest.raises(ProtocolTooNewError, match=said):
            work(newer, CLICKS)
    assert "newer Delta protocol" in command(newer, "table", "show", CLICKS, fails=1)


def test_the_spark_driver_says_what_is_wrong_with_a_table_and_ends(newer):
    run = subprocess.run(
        [sys.executable, "-m", "jobs.streaming.spark.main"],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": newer.namespace},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    (complaint,) = [line for line in run.stderr.splitlines() if " ERROR " in line]
    assert "silver.clicks at s3://" in complaint
    assert "newer Delta protocol" in complaint
    assert "Traceback" not in run.stderr


@pytest.mark.timeout(180)
def test_the_job_s_status_says_what_is_wrong_with_a_table(stack):
    """In the namespace of the supervised jobs; the table is as before afterwards."""
    settings, job = stack.ensure("minio", "postgres"), JOBS[SPARK_INGEST]

    def complaint() -> bool:
        detail = view(settings, job).actual.detail
        return "silver.clicks at s3://" in detail and "newer Delta protocol" in detail

    with newer_protocol(settings):
        start(settings, job, "test")
        try:
            until(complaint, 120, "the job's status says why it does not run")
        finally:
            stop(settings, job, "test")


def command(lake: Settings, *words: str, fails: int = 0) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": lake.namespace, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == fails, run.stderr
    assert "Traceback" not in run.stderr
    return run.stdout if not fails else run.stderr
