"""``lakehouse table | mart | quality`` as somebody types them."""

import json
import os
import subprocess
import sys
from datetime import date

import polars as pl
import pytest

from jobs.rust_engines import MARTS
from jobs.rust_engines.publications import Place
from jobs.rust_engines.sources import Sources
from lakehouse.delta.notes import Publication
from lakehouse.semantics import Events
from lakehouse.settings import Settings
from tests.lake import expected, fill, stored
from tests.strategies import click, positioned, product, purchase

SHOP = Events.of(
    positioned(
        [product("mug", "00:00"), click("ana", "10:00"), click("émile", "34:00", None), purchase("ana", "10:01")]
    )
)


class Shell:
    """Runs the command line against one lake."""

    def __init__(self, lake: Settings) -> None:
        self._environment = os.environ | {
            "LAKEHOUSE_NAMESPACE": lake.namespace,
            "LAKEHOUSE_MINIO_PORT": str(lake.minio_port),
            "COLUMNS": "200",
        }

    def __call__(self, *words: str, fails: int = 0, **environment: str) -> str:
        """What it prints; `fails` is the exit status that must come."""
        ran = subprocess.run(
            [sys.executable, "-m", "cli", *words],
            capture_output=True,
            text=True,
            env=self._environment | environment,
            check=False,
        )
        assert ran.returncode == fails, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout if not fails else ran.stdout + ran.stderr


def filled(lake: Settings) -> Settings:
    fill(
        lake, SHOP, "silver.clicks", "silver.purchases", "silver.products", "silver.sessions", "gold.product_metrics_5m"
    )
    return lake


@pytest.fixture(scope="module")
def shop(stack) -> Settings:
    """What no test changes."""
    return filled(stack.ensure("minio").model_copy(update={"namespace": "table_command"}))


@pytest.fixture
def shell(shop) -> Shell:
    return Shell(shop)


@pytest.fixture
def own_shell(lake) -> Shell:
    return Shell(filled(lake))


def test_list_tells_of_every_table(shell):
    lines = {line.split()[0]: line for line in shell("table", "list").splitlines()}
    assert lines["silver.clicks"].split()[1:3] == ["1", "2"]
    assert "not written" in lines["gold.user_totals"]


def test_show_tells_columns_key_and_commits(shell):
    shown = shell("table", "show", "silver.clicks")
    assert "silver.clicks version 1: 2 rows" in shown
    assert "key: user_id, event_id, event_time" in shown
    assert "product_valid_from" in shown
    assert "CREATE TABLE" in shown
    assert "CREATE TABLE" not in shell("table", "show", "silver.clicks", "--commits", "1")
    assert "version 0: 0 rows" in shell("table", "show", "silver.clicks", "--version", "0")


def test_read_as_json_is_one_object_a_line(shell, shop):
    rows = [json.loads(line) for line in shell("table", "read", "silver.clicks", "--format", "json").splitlines()]
    assert {row["user_id"] for row in rows} == {"ana", "émile"}
    assert {row["event_time"] for row in rows} == {"2024-03-01T10:00:00.000Z", "2024-03-02T10:00:00.000Z"}
    assert {row["product_id"] for row in rows} == {"mug", None}
    assert {row["record_hash"] for row in rows} == {str(n) for n in stored(shop, "silver.clicks")["record_hash"]}


def test_read_as_csv_with_columns_and_condition(shell):
    read = shell(
        "table", "read", "silver.clicks", "--format", "csv", "--columns", "user_id,region",
        "--where", "event_date = '2024-03-02' AND event_time >= '2024-03-02T10:00:00Z'",
    )  # fmt: skip
    assert read == "user_id,region\némile,north\n"


def test_read_without_a_matching_row_still_names_the_columns(shell):
    read = shell(
        "table", "read", "silver.clicks", "--format", "csv", "--columns", "user_id", "--where", "user_id = 'x'"
    )
    assert read == "user_id\n"


def test_read_as_parquet_keeps_types(shell, tmp_path):
    file = tmp_path / "rows.parquet"
    shell("table", "read", "gold.product_metrics_5m", "--format", "parquet", "--output", str(file))
    rows = expected("gold.product_metrics_5m", SHOP)
    assert pl.read_parquet(file).cast(rows.schema).sort("product_id", "window_start").equals(rows)
    assert pl.read_parquet(file).schema == rows.schema


def test_read_an_earlier_version(shell):
    assert "0 rows" in shell("table", "read", "silver.clicks", "--version", "0")


def test_read_prints_a_narrow_table_and_a_wide_row_by_row(shell):
    assert shell("table", "read", "silver.clicks", "--columns", "user_id,region").splitlines()[0].split() == [
        "user_id",
        "region",
    ]
    wide = shell("table", "read", "silver.clicks", "--limit", "1", COLUMNS="60")
    assert any(line.split()[0] == "product_valid_from" for line in wide.splitlines() if line.split())
    assert "1 rows" in wide


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["read", "silver.nope"], 1, "unknown table 'silver.nope'; known tables: bronze.clicks"),
        (["read", "gold.user_totals"], 1, "gold.user_totals has not been written yet; spark_lakehouse writes it"),
        (["read", "silver.clicks", "--version", "9"], 1, "silver.clicks has no version 9; its newest version is 1"),
        (["read", "silver.clicks", "--timestamp", "2020-01-01"], 1, "has no version as of 2020-01-01T00:00:00+00:00"),
        (["read", "silver.clicks", "--timestamp", "yesterday"], 2, "is no ISO 8601 time"),
        (["read", "silver.clicks", "--version", "1", "--timestamp", "2020-01-01"], 2, "not both"),
        (["read", "silver.clicks", "--where", "nope = 1"], 2, "No field named nope"),
        (["read", "silver.clicks", "--columns", "nope"], 2, "silver.clicks has no column nope; it has: event_id"),
        (["read", "silver.clicks", "--format", "parquet"], 2, "add --output FILE"),
        (["read", "silver.clicks", "--output", "x"], 2, "add --format"),
        (["compact", "silver.nope"], 1, "unknown table 'silver.nope'"),
        (["vacuum", "gold.user_totals"], 1, "gold.user_totals has not been written yet"),
        (["restore", "silver.clicks"], 2, "give --version or --timestamp"),
    ],
)
def test_mistakes_are_answered_by_what_to_do(shell, words, status, said):
    assert said in shell("table", *words, fails=status)


def test_a_store_that_is_down_is_one_sentence(shell):
    said = shell("table", "list", fails=1, LAKEHOUSE_MINIO_PORT="9")
    assert said.strip() == "minio does not answer at http://127.0.0.1:9; start it with: lakehouse up minio"


def test_maintenance_of_every_table(own_shell):
    assert "silver.clicks: nothing to join, 2 files" in own_shell("table", "compact")
    assert "silver.clicks: 0 files to remove" in own_shell("table", "vacuum", "--dry-run")
    assert "silver.clicks: 0 files removed" in own_shell("table", "vacuum", "silver.clicks")


def test_restore_tells_how_to_compute_the_table_anew(own_shell, stack):
    stack.ensure("postgres")
    said = own_shell("table", "restore", "gold.product_metrics_5m", "--version", "0")
    assert "gold.product_metrics_5m: version 2 has the content of version 0" in said
    assert "--from 2024-03-01 --to 2024-03-01 --tables gold.product_metrics_5m --publish" in said
    assert "lacks 2 rows" in own_shell("table", "restore", "silver.clicks", "--version", "0", fails=1)


def test_marts_of_some_days(own_shell, lake):
    said = own_shell("mart", "run", "--day", "2024-03-01", "--until", "2024-03-02", "--engine", "datafusion")
    assert said.count("equal") == 6
    assert "5 of 6: 2024-03-02 marts.region_daily" in said
    planned = own_shell("mart", "plan", "region_daily", "--day", "2024-03-01", "--until", "2024-03-02")
    days = stored(lake, "silver.clicks").height + stored(lake, "silver.purchases").height
    assert planned.count("region_daily") == 2
    assert f"{days:,} rows to read, about" in planned
    assert stored(lake, "marts.region_daily").equals(expected("marts.region_daily", SHOP))


def test_a_day_that_was_published_from_newer_tables_is_not_told_as_published(own_shell, lake):
    """As if another had published it while this run computed."""
    mart, day = "marts.region_daily", date(2024, 3, 1)
    read = Sources.pin(lake, MARTS[mart].reads)
    note = Publication(day=day, read_versions=read.versions | {"silver.clicks": 9}, read_tables=read.ids)
    Place(lake, mart, day).put(expected(mart, SHOP, day), note)
    printed = own_shell("mart", "run", "region_daily", "--day", "2024-03-01")
    assert "1 of 1: marts.region_daily of 2024-03-01 was not published: version 1, of 2" in printed
    assert "holds it from newer tables (silver.clicks 9, not 1), and stays" in printed
    assert "equal" not in printed


def test_quality_of_what_is_written(own_shell):
    said = own_shell("quality")
    assert said.count("✓ passed") == 5
    assert "Data Docs: " in said
