"""Checking tables in the store: results kept, pages written, and a table that is not as expected holds up the rest."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import polars as pl
import pytest

from lakehouse.contracts.tables import UnknownTableError, table
from lakehouse.delta import Once, TableMissingError, append, scan
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Events
from lakehouse.settings import Settings
from quality import QualityFailedError, checked_tables, run_quality
from quality.data_docs import write_data_docs
from quality.suites import SCHEMA_RULE, suite
from tests.lake import expected, fill
from tests.strategies import click, product, profile, purchase, transaction

GOLD = "gold.product_metrics_5m"
FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 2)
SHOP = Events.of(
    [
        product("mug", "00:00"),
        profile("ana", "00:00"),
        click("ana", "10:00"),
        click("ana", "34:00"),
        purchase("ana", "10:01"),
        *(transaction("ana", f"10:0{minute}") for minute in range(6)),
    ]
)


@pytest.fixture
def checked(lake, tmp_path) -> Settings:
    """A lake with a home of its own: the Data Docs of one installation are shared by its namespaces."""
    return lake.model_copy(update={"home": tmp_path})


def add_broken_row(lake: Settings, day: date) -> None:
    row = expected(GOLD, SHOP, day).head(1).with_columns(product_id=pl.lit("broken"), clicks=pl.lit(-1, pl.Int64))
    append(lake, GOLD, to_arrow(GOLD, row), Once.new("test"))


@pytest.mark.parametrize("name", checked_tables())
def test_a_suite_expects_every_rule_and_the_schema(name):
    expectations = suite(table(name)).expectations
    assert expectations[0].column == SCHEMA_RULE
    assert len(expectations) == len({e.column for e in expectations}) > len(table(name).columns)


def test_tables_as_expected_pass_and_the_result_is_kept(checked):
    names = checked_tables()
    fill(checked, SHOP, *names)
    result = run_quality(checked, run_id="run-1")
    assert result.success
    assert [t.table for t in result.tables] == names
    assert {t.table: t.rows_checked for t in result.tables} == {n: expected(n, SHOP).height for n in names}
    kept = scan(checked, "ops.quality_results").collect()
    assert kept["table"].to_list() == names
    assert kept["run_id"].unique().to_list() == ["run-1"]
    assert kept["success"].all()
    assert kept["rows_checked"].sum() == sum(t.rows_checked for t in result.tables)


def test_one_broken_row_fails_its_table_and_only_it(checked):
    fill(checked, SHOP, GOLD, "silver.clicks")
    add_broken_row(checked, FIRST)
    with pytest.raises(QualityFailedError, match=r"gold\.product_metrics_5m version 2: clicks is at least 0") as raised:
        run_quality(checked, [GOLD, "silver.clicks"])
    assert "broken by 1 rows, for example" in str(raised.value)
    assert [t.success for t in raised.value.result.tables] == [False, True]
    kept = scan(checked, "ops.quality_results").sort("table").collect()
    assert kept["success"].to_list() == [False, True]
    assert kept["failed"].to_list()[0] > 0


def test_only_the_day_asked_for_is_checked(checked):
    fill(checked, SHOP, GOLD)
    add_broken_row(checked, FIRST)
    second = run_quality(checked, [GOLD], SECOND)
    assert second.tables[0].rows_checked == expected(GOLD, SHOP, SECOND).height
    with pytest.raises(QualityFailedError):
        run_quality(checked, [GOLD], FIRST)


def test_a_day_without_rows_passes(checked):
    fill(checked, SHOP, GOLD)
    assert run_quality(checked, [GOLD], date(2020, 1, 1)).tables[0].rows_checked == 0


def test_a_warning_does_not_fail(checked):
    twice = Events.of([click("ana", "10:00", event_id="same"), click("ana", "10:01", event_id="same")])
    fill(checked, twice, "silver.clicks")
    (result,) = run_quality(checked, ["silver.clicks"]).tables
    assert [w.says for w in result.warnings] == ["one event_id of a user has one event_time within a day"]


def test_another_schema_fails_before_any_row_is_read(checked):
    fill(checked, SHOP, "silver.clicks")
    foreign = scan(checked, "silver.clicks").with_columns(extra=1).collect()
    foreign.write_delta(
        checked.table_path("silver.clicks"),
        mode="append",
        storage_options=checked.delta_storage_options(),
        delta_write_options={"schema_mode": "merge"},
    )
    with pytest.raises(QualityFailedError, match=SCHEMA_RULE):
        run_quality(checked, ["silver.clicks"])


def test_data_docs_show_what_failed_and_load_nothing(checked):
    fill(checked, SHOP, GOLD, "silver.clicks")
    add_broken_row(checked, FIRST)
    run_quality(checked, [GOLD, "silver.clicks"], raise_on_failure=False)
    docs = checked.home / "reports" / "data_docs"
    index, page = (docs / "index.html").read_text(), (docs / f"{GOLD}.html").read_text()
    assert f"1 of 2 tables failed: {GOLD}" in index
    assert f'href="{GOLD}.html"' in index
    assert page.index("clicks is at least 0") < page.index("✓ holds")
    assert "product_id=broken" in page
    for html in (index, page):
        assert "http" not in html
        assert "<script" not in html


def test_what_a_table_holds_is_escaped(checked):
    fill(checked, Events.of([click("<b>ana</b>", "10:00", "<script>alert(1)</script>")]), GOLD)
    row = expected(GOLD, SHOP).head(1).with_columns(product_id=pl.lit("<script>"), clicks=pl.lit(-1, pl.Int64))
    append(checked, GOLD, to_arrow(GOLD, row), Once.new("test"))
    run_quality(checked, [GOLD], raise_on_failure=False)
    assert "<script" not in (checked.home / "reports" / "data_docs" / f"{GOLD}.html").read_text()


def test_pages_written_at_the_same_time_all_stand_in_the_index(tmp_path):
    results = [
        {
            "run_id": "r", "checked_at": "now", "table": name, "version": 1, "day": None, "rows_checked": 1,
            "seconds": 1.0, "rows_per_second": 1.0, "success": True, "failed": 0, "warnings": 0, "expectations": [],
        }
        for name in checked_tables()
    ]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda result: write_data_docs(tmp_path, result), results))
    index = (tmp_path / "index.html").read_text()
    assert all(f'href="{name}.html"' in index for name in checked_tables())
    assert {json.loads(file.read_text())["table"] for file in tmp_path.glob("*.json")} == set(checked_tables())


def test_under_a_root_logger_of_info_nothing_is_logged_or_left_behind(checked, tmp_path):
    """As in Airflow's tasks, in a process that has not imported the library yet."""
    fill(checked, SHOP, GOLD)
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from lakehouse.settings import load_settings\n"
        "from quality import run_quality\n"
        f"run_quality(load_settings().model_copy(update={{'namespace': '{checked.namespace}'}}), ['{GOLD}'])\n"
    )
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_tables_that_are_not_there(checked):
    with pytest.raises(UnknownTableError, match=r"unknown table 'gold\.nope'"):
        run_quality(checked, ["gold.nope"])
    with pytest.raises(TableMissingError, match="has not been written yet"):
        run_quality(checked, [GOLD])
