"""Checking tables in the store: results kept, pages written, and a table that is not as expected holds up the rest."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime

import polars as pl
import pytest

from lakehouse.alerts import OPENED, WITHDRAWN, TableAlert, parse_alert
from lakehouse.checkpoints import begin_checkpoint
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import UnknownTableError, checked_tables, table
from lakehouse.contracts.validation import Valid, validate
from lakehouse.delta import Once, TableMissingError, append, open_table, scan, table_exists
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.kafka.consumer import read_partitions
from lakehouse.kafka.sender import Sender
from lakehouse.kafka.topics import ALERTS, create_topics
from lakehouse.semantics import Event, Events
from lakehouse.semantics.windows import MINUTE, utc_date
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from quality import QualityFailedError, run_quality
from quality.data_docs import write_data_docs
from quality.suites import SCHEMA_RULE, suite
from tests.clocks import Tomorrow
from tests.command import lakehouse
from tests.lake import expected, fill, frame
from tests.reference_lake import encoded
from tests.strategies import click, product, profile, purchase, transaction

GOLD = "gold.product_metrics_5m"
LETTERS = "bronze.dead_letters"
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
def checked(lake, stack, tmp_path) -> Settings:
    """A lake with topics, and a home of its own: the Data Docs of one installation are shared by its namespaces."""
    stack.ensure("kafka")
    create_topics(lake)
    return lake.model_copy(update={"home": tmp_path})


def told(lake: Settings) -> list[tuple[str, str | None, str]]:
    """Table, day and state of the alerts that were sent, in their order."""
    alerts = [parse_alert(record.value or b"") for record in read_partitions(lake, ALERTS)]
    return [(alert.table, alert.day, alert.state) for alert in alerts if isinstance(alert, TableAlert)]


def remove_broken_row(lake: Settings) -> None:
    open_table(lake, GOLD).delete("product_id = 'broken'")


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
    assert kept["seconds"].to_list() == [t.seconds for t in result.tables]
    assert not table_exists(checked, "quarantine.rows")
    assert told(checked) == []


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


def test_failing_rows_are_set_aside_once_per_run_with_what_they_break(checked):
    fill(checked, SHOP, GOLD)
    add_broken_row(checked, FIRST)
    for _ in range(2):
        run_quality(checked, [GOLD], raise_on_failure=False, run_id="run-1")
    aside = scan(checked, "quarantine.rows").collect()
    assert aside.height == aside["expectation"].n_unique()
    broken = aside.row(by_predicate=pl.col("expectation") == "clicks is at least 0", named=True)
    assert (broken["run_id"], broken["table"], broken["version"], broken["severity"]) == ("run-1", GOLD, 2, "critical")
    row = json.loads(broken["row"])
    assert (row["product_id"], row["clicks"], row["event_date"]) == ("broken", -1, "2024-03-01")
    assert set(row) == set(table(GOLD).column_names)

    run_quality(checked, [GOLD], raise_on_failure=False, run_id="run-2")
    assert scan(checked, "quarantine.rows").collect().height == 2 * aside.height
    remove_broken_row(checked)
    run_quality(checked, [GOLD], run_id="run-2")
    assert scan(checked, "quarantine.rows").collect().height == 2 * aside.height


def test_of_a_repeated_key_both_rows_are_set_aside(checked):
    fill(checked, SHOP, GOLD)
    again = expected(GOLD, SHOP, FIRST).head(1)
    append(checked, GOLD, to_arrow(GOLD, again), Once.new("test"))
    run_quality(checked, [GOLD], raise_on_failure=False)
    aside = scan(checked, "quarantine.rows").collect()
    assert aside["expectation"].to_list() == ["key (product_id, window_start) is unique"] * 2


def test_a_table_that_fails_alerts_and_again_when_it_is_right(checked):
    fill(checked, SHOP, GOLD)
    run_quality(checked, [GOLD])
    add_broken_row(checked, FIRST)
    for day in (None, None, FIRST, SECOND):
        run_quality(checked, [GOLD], day, raise_on_failure=False)
    assert sorted(told(checked), key=str) == [(GOLD, "2024-03-01", OPENED), *[(GOLD, None, OPENED)] * 2]
    keys = [parse_alert(record.value or b"").notice for record in read_partitions(checked, ALERTS)]
    assert len(set(keys)) == 2, "the same turn twice is one notice"
    remove_broken_row(checked)
    for _ in range(2):
        run_quality(checked, [GOLD])
    assert told(checked).count((GOLD, None, WITHDRAWN)) == 1
    assert (GOLD, "2024-03-01", WITHDRAWN) not in told(checked)


def ingest_as_dead(checked: Settings, clicks: list[Event]) -> None:
    """Clicks that Kafka has and that a broker's clock, half an hour behind, made dead letters of."""
    with Sender(checked) as sender:
        sender.send([encoded(each) for each in clicks])
    rows = [
        {
            "topic": "shop.clicks",
            "partition": record.partition,
            "offset": record.offset,
            "arrival": each.event_time - 30 * MINUTE,
            "key": record.key,
            "value": record.value,
            "reason": "out_of_range",
            "field": "event_time",
            "record_hash": 1,
            "arrival_date": utc_date(each.event_time - 30 * MINUTE),
        }
        for each, record in zip(clicks, read_partitions(checked, "shop.clicks"), strict=True)
    ]
    append(checked, LETTERS, to_arrow(LETTERS, frame(LETTERS, rows)), Once.new("test"))
    begin_checkpoint(checked, SPARK_INGEST, kafka_ends(checked))


def test_a_jump_in_the_share_of_dead_letters_alerts_until_it_is_over(checked):
    ingest_as_dead(checked, [click("ana", f"10:{minute}") for minute in range(10, 40)])
    said = "30 of the last 30 records of shop.clicks are dead letters (30 out_of_range of event_time)"
    with pytest.raises(QualityFailedError, match=r"no more of the records of shop\.clicks become dead letters"):
        run_quality(checked, [LETTERS])
    assert told(checked) == [(LETTERS, None, OPENED)]
    listed = lakehouse(checked, "dead-letters", "list")
    assert (listed.returncode, said in listed.stdout) == (1, True), listed.stdout + listed.stderr

    # The clock is right again, and what it did is judged again.
    counted = lakehouse(checked, "dead-letters", "resend", "shop.clicks", "--field", "event_time", "--dry-run")
    assert "30 would be sent again" in counted.stdout, counted.stderr
    assert "30 sent again" in lakehouse(checked, "dead-letters", "resend", "shop.clicks").stdout
    again = list(read_partitions(checked, "shop.clicks"))
    assert len(again) == 60
    assert all(isinstance(validate(*(r[0], r.key, r.value, r.arrival_ms)), Valid) for r in again)

    with Sender(checked) as sender:
        sender.send([encoded(click("ana", f"11:{minute}")) for minute in range(10, 59)] * 13)
    begin_checkpoint(checked, SPARK_INGEST, kafka_ends(checked))
    run_quality(checked, [LETTERS])
    assert told(checked)[-1] == (LETTERS, None, WITHDRAWN)


def test_a_check_by_a_clock_that_ran_ahead_is_not_the_newest_for_ever(checked, monkeypatch):
    fill(checked, SHOP, GOLD)
    add_broken_row(checked, FIRST)
    with monkeypatch.context() as tomorrow:
        for module in ("quality.checkpoint", "lakehouse.delta.write"):
            tomorrow.setattr(f"{module}.datetime", Tomorrow)
        run_quality(checked, [GOLD], raise_on_failure=False)
    remove_broken_row(checked)
    for _ in range(3):
        run_quality(checked, [GOLD])
    assert told(checked) == [(GOLD, None, OPENED), (GOLD, None, WITHDRAWN)]


def test_how_a_table_was_alerts_nobody_and_withdraws_nothing(checked):
    fill(checked, SHOP, GOLD)
    add_broken_row(checked, FIRST)
    broken = datetime.now(UTC)
    remove_broken_row(checked)
    run_quality(checked, [GOLD], as_of=broken, raise_on_failure=False)
    run_quality(checked, [GOLD])
    assert told(checked) == []


def test_a_table_that_fails_while_kafka_is_down_fails_all_the_same_and_is_told_later(checked):
    fill(checked, SHOP, GOLD)
    add_broken_row(checked, FIRST)
    with socket.socket() as free:
        free.bind((checked.host, 0))
        deaf = checked.model_copy(update={"kafka_port": free.getsockname()[1]})
        with pytest.raises(QualityFailedError):
            run_quality(deaf, [GOLD], FIRST)
        remove_broken_row(checked)
        with pytest.raises(ServiceDownError, match="kafka"):
            run_quality(deaf, [GOLD], FIRST)
    run_quality(checked, [GOLD], FIRST)
    assert told(checked) == [(GOLD, "2024-03-01", WITHDRAWN)]


def test_a_record_that_waits_too_long_is_a_warning(checked, monkeypatch):
    fill(checked, SHOP, "silver.clicks")
    job = JOBS[SPARK_INGEST]
    says = f"no record has waited for {SPARK_INGEST} for more than {job.freshness_seconds} s"
    (fresh,) = run_quality(checked, ["silver.clicks"]).tables
    assert {o.says: o.success for o in fresh.outcomes}[says]

    monkeypatch.setitem(JOBS, SPARK_INGEST, replace(job, freshness_seconds=0))
    with Sender(checked) as sender:
        sender.send([("shop.clicks", b"ana", b"{}")])
    result = run_quality(checked, ["silver.clicks"], raise_on_failure=False)
    (late,) = result.tables
    assert [w.says for w in late.warnings] == [says.replace(str(job.freshness_seconds), "0")]
    assert late.samples[late.warnings[0].says][0]["records owed"] == 1
    assert result.success


def test_a_day_with_few_rows_is_a_warning_without_rows_to_set_aside(checked):
    times = [f"{10 + 24 * day}:0{minute}" for day in range(5) for minute in range(5 if day < 4 else 2)]
    fill(checked, Events.of([click("ana", time) for time in times]), "silver.clicks")
    ((usual,), (few,)) = (run_quality(checked, ["silver.clicks"], date(2024, 3, day)).tables for day in (4, 5))
    assert usual.warnings == []
    (warned,) = few.warnings
    assert few.samples[warned.says] == [{"day": date(2024, 3, 5), "rows": 2, "usual": 5}]
    assert not table_exists(checked, "quarantine.rows")


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
    aside = scan(checked, "quarantine.rows").collect()
    assert aside["severity"].to_list() == ["warning"] * 2
    assert {json.loads(row)["event_id"] for row in aside["row"]} == {"same"}
    assert told(checked) == []


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
