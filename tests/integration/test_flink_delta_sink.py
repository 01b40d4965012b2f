"""The delta sink on the real cluster and MinIO: its tables as every engine reads them, and what it refuses."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import duckdb_extension_delta
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from polars.testing import assert_frame_equal

from jobs.spark_session import build_session
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.columns import Column, TableContract, Type
from lakehouse.contracts.flink import SQL_TYPES, delta_sink, sink_name
from lakehouse.delta.tables import PROPERTIES
from lakehouse.flink_rest import call_flink
from lakehouse.object_store import build_client
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.integration.flink_jobs import run, submit

pytestmark = pytest.mark.stack

TYPES = TableContract(
    "bronze.all_types",
    "test",
    (
        Column("id", Type.LONG),
        Column("text", Type.STRING, nullable=True),
        Column("small", Type.INTEGER, nullable=True),
        Column("ratio", Type.DOUBLE, nullable=True),
        Column("flag", Type.BOOLEAN, nullable=True),
        Column("raw", Type.BINARY, nullable=True),
        Column("day", Type.DATE, nullable=True),
        Column("at", Type.TIMESTAMP, nullable=True),
        Column("total", Type.FINGERPRINT, nullable=True),
        Column("place", Type.DATE),
    ),
    ("id",),
    ("place",),
)
PLACE = date(2024, 3, 1)
ROWS: list[dict[str, Any]] = [
    {
        "id": 2**63 - 1,
        "text": "",
        "small": 2**31 - 1,
        "ratio": 1.7976931348623157e308,
        "flag": True,
        "raw": b"\x00\xff",
        "day": date(9999, 12, 31),
        "at": datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC),
        "total": Decimal(10**38 - 1),
        "place": date(9999, 12, 31),
    },
    {
        "id": -(2**63),
        "text": "Ünïcödé 'quoted' \N{GRINNING FACE}",
        "small": -(2**31),
        "ratio": -0.5,
        "flag": False,
        "raw": b"",
        "day": date(1900, 1, 1),
        "at": datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC),
        "total": Decimal(-(10**38) + 1),
        "place": PLACE,
    },
    dict.fromkeys(TYPES.column_names) | {"id": 0, "place": PLACE},
]
EXPECTED = pl.DataFrame(ROWS, schema=polars_schema(TYPES), orient="row").sort("id")


def literal(value: Any, kind: Type) -> str:
    """`value` in Flink SQL."""
    if value is None:
        return f"CAST(NULL AS {SQL_TYPES[kind]})"
    match kind:
        case Type.STRING:
            text = value.replace("'", "''")
            return f"'{text}'"
        case Type.BINARY:
            return f"x'{value.hex()}'"
        case Type.DATE:
            return f"DATE '{value.isoformat()}'"
        case Type.TIMESTAMP:
            return f"TO_TIMESTAMP_LTZ({(value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)}, 3)"
        case Type.FINGERPRINT:
            return f"CAST('{value}' AS DECIMAL(38, 0))"
        case Type.DOUBLE:
            return f"CAST('{value!r}' AS DOUBLE)"
        case Type.LONG:
            return f"CAST('{value}' AS BIGINT)"
    return str(value)


def row(values: dict[str, Any]) -> str:
    return f"({', '.join(literal(values[c.name], c.type) for c in TYPES.columns)})"


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    return stack.ensure("minio", "flink").model_copy(update={"namespace": ""})


@pytest.fixture(scope="module")
def table(settings: Settings) -> str:
    """The path of the table of all types, as Flink has made and filled it."""
    values = ", ".join(row(r) for r in ROWS)
    insert = f"INSERT INTO {sink_name(TYPES)} SELECT * FROM (VALUES {values})"  # noqa: S608
    run(settings, "all_types", [delta_sink(TYPES, settings.table_path(TYPES.name, "s3a"))], [insert])
    return settings.table_path(TYPES.name)


def by_polars(settings: Settings, table: str) -> pl.DataFrame:
    return pl.read_delta(table, storage_options=settings.delta_storage_options())


def by_delta_rs(settings: Settings, table: str) -> pl.DataFrame:
    opened = DeltaTable(table, storage_options=settings.delta_storage_options())
    return pl.DataFrame(opened.to_pyarrow_table())


def by_datafusion(settings: Settings, table: str) -> pl.DataFrame:
    opened = DeltaTable(table, storage_options=settings.delta_storage_options())
    return pl.DataFrame(pa.table(QueryBuilder().register("t", opened).execute("SELECT * FROM t").read_all()))


def by_spark(settings: Settings, table: str) -> pl.DataFrame:
    spark = build_session(settings, "read")
    try:
        return pl.DataFrame(spark.read.format("delta").load(table.replace("s3://", "s3a://")).toArrow())
    finally:
        spark.stop()


def by_duckdb(settings: Settings, table: str) -> pl.DataFrame:
    store = build_client(settings)
    prefix = table.removeprefix(f"s3://{settings.bucket}/")
    (extension,) = Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
    with TemporaryDirectory() as copy, duckdb.connect() as connection:
        # No package carries DuckDB's S3 extension: it gets a copy of the files.
        for found in store.list_objects(settings.bucket, f"{prefix}/", recursive=True):
            name = found.object_name or ""
            if not name.endswith("/"):
                store.fget_object(settings.bucket, name, copy + name.removeprefix(prefix))
        connection.load_extension(str(extension))
        connection.execute("SET TimeZone = 'UTC'")
        return pl.DataFrame(connection.execute("SELECT * FROM delta_scan(?)", [copy]).to_arrow_table())


@pytest.mark.parametrize("reader", [by_polars, by_delta_rs, by_datafusion, by_duckdb, by_spark])
def test_every_engine_reads_the_contracts_types_as_they_were_written(
    settings: Settings, table: str, reader: Any
) -> None:
    found = reader(settings, table).select(TYPES.column_names).cast(polars_schema(TYPES))
    assert_frame_equal(found.sort("id"), EXPECTED)


def test_the_table_is_in_the_profile(settings: Settings, table: str) -> None:
    opened = DeltaTable(table, storage_options=settings.delta_storage_options())
    protocol = opened.protocol()
    versions = (protocol.min_reader_version, protocol.min_writer_version)
    assert versions == tuple(int(PROPERTIES[f"delta.min{v}Version"]) for v in ("Reader", "Writer"))
    assert not protocol.reader_features
    assert not protocol.writer_features
    configured = opened.metadata().configuration
    assert configured == {name: value for name, value in PROPERTIES.items() if name in configured}
    assert len(configured) == len(PROPERTIES) - 2
    assert opened.metadata().partition_columns == ["place"]


def test_files_carry_statistics(settings: Settings, table: str) -> None:
    opened = DeltaTable(table, storage_options=settings.delta_storage_options())
    files = pa.table(opened.get_add_actions(flatten=True)).to_pylist()
    (far,) = [f for f in files if f["partition.place"] == date(9999, 12, 31)]
    assert (far["num_records"], far["min.id"], far["max.id"]) == (1, 2**63 - 1, 2**63 - 1)
    assert far["max.at"] == ROWS[0]["at"]
    assert sum(f["num_records"] for f in files) == len(ROWS)
    assert sum(f["null_count.raw"] for f in files) == 1


@pytest.fixture
def refused(settings: Settings) -> Iterator[Any]:
    """Submits an insert into a table and returns the error; nothing may have been submitted."""

    def submission(contract: TableContract, path: str, insert: str, **environment: str) -> str:
        done = submit(settings, "refused", [delta_sink(contract, path)], [insert], **environment)
        assert done.returncode != 0
        return done.stderr

    yield submission
    jobs = call_flink(settings, "GET", "/jobs/overview")["jobs"]
    assert [j for j in jobs if j["name"] == "refused"] == []


SMALL = TableContract("bronze.refused", "test", (Column("id", Type.LONG),), ("id",))
INSERT = "INSERT INTO bronze_refused VALUES (1)"


def test_a_schema_that_does_not_fit_is_an_error_at_submission(settings: Settings, refused: Any) -> None:
    path = settings.table_path("bronze.other_schema")
    options = settings.delta_storage_options()
    write_deltalake(path, pl.DataFrame({"id": ["a"]}).to_arrow(), storage_options=options)
    error = refused(SMALL, path.replace("s3://", "s3a://"), INSERT)
    assert "its column id is string, not long" in error
    assert DeltaTable(path, storage_options=options).version() == 0


def test_a_missing_bucket_is_an_error_at_submission(refused: Any) -> None:
    assert "there is no such bucket" in refused(SMALL, "s3a://nowhere/bronze/refused", INSERT)


def test_wrong_credentials_are_an_error_at_submission(settings: Settings, refused: Any) -> None:
    path = settings.table_path(SMALL.name, "s3a")
    error = refused(SMALL, path, INSERT, LAKEHOUSE_MINIO_SECRET_KEY="wrong-wrong-wrong")
    assert "the store refuses the access key" in error


def test_files_that_are_no_table_are_an_error_at_submission(settings: Settings, refused: Any) -> None:
    path = settings.table_path("bronze.no_table")
    pl.DataFrame({"id": [1]}).write_parquet(f"{path}/a.parquet", storage_options=settings.delta_storage_options())
    error = refused(SMALL, path.replace("s3://", "s3a://"), INSERT)
    assert "but no Delta table" in error
