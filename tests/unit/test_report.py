"""The demo's result and its page: what counts as held, what is shown, and that nothing is loaded from elsewhere."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lakehouse.ledger import Account
from lakehouse.report import (
    AlertCount,
    Demand,
    DemoResult,
    Enrichment,
    Freshness,
    Ledger,
    LedgerRows,
    Link,
    MicroBatch,
    Step,
    TableResult,
    TopicAccount,
    render_report,
    write_report,
)
from lakehouse.report.charts import largest_steps

ACCOUNT = TopicAccount("shop.clicks", 100, 90, 7, {"not_json": 2, "missing": 1}, 80, 6, 4)
TABLE = TableResult("gold.user_totals", 12, version=3)
LEDGER = Ledger(
    "0 lost, 0 doubled, 0 altered",
    100,
    1.5,
    [Account("shop.clicks", 100, 97, 3, 90, 7, 0)],
    [LedgerRows("gold.user_totals", 90, "1,234", 3)],
    notes=["shop.views: nobody ingests it"],
)


@pytest.fixture
def result() -> DemoResult:
    return DemoResult(
        "Demo",
        1_709_280_000_000,
        7,
        {"clicks": "1,000"},
        steps=[Step("start the stack", 12.5, "7 services"), Step("compare", 30)],
        demands=[Demand("The data hold late records", True, "6")],
        tables=[TABLE],
        accounts=[ACCOUNT],
        ledger=LEDGER,
        batches=[MicroBatch(n, 1_709_280_000_000, 1000 * n, 9.0, {"bronze": 2.0, "silver": 3.0}) for n in range(3)],
        enrichment=[Enrichment("silver.clicks", 90, 81)],
        alerts=[AlertCount("ctr_anomaly", 4, 3, 1, 1)],
        freshness=[Freshness("Redis", 100, 0.9, 2.1, 5)],
        facts={"merged sessions": 5},
        peak_memory_bytes={"spark": 2 * 10**9, "kafka": 10**9},
        links=[Link("Airflow", "http://127.0.0.1:1234", "user admin")],
    )


def test_all_held(result):
    assert result.ok
    page = render_report(result)
    assert "All 4 checks held" in page
    assert LEDGER.verdict in page
    assert LEDGER.notes[0] in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"demands": [Demand("Enriched", False, "10 %")]}, "Enriched: 10 %"),
        ({"tables": [replace(TABLE, missing=1)]}, "1 rows missing, 0 unexpected, 0 different"),
        ({"tables": [replace(TABLE, unexpected=1)]}, "0 rows missing, 1 unexpected, 0 different"),
        ({"tables": [replace(TABLE, different=1)]}, "0 rows missing, 0 unexpected, 1 different"),
        ({"tables": [replace(TABLE, rows_compared=0)]}, "no rows were compared"),
        ({"accounts": [replace(ACCOUNT, read=101)]}, "its records do not add up"),
        ({"accounts": [replace(ACCOUNT, late=7)]}, "its records do not add up"),
        ({"ledger": replace(LEDGER, findings=["1 lost in silver.clicks"])}, "ledger: 1 lost in silver.clicks"),
    ],
)
def test_one_thing_that_does_not_hold_is_a_failure_that_is_named(result, change, said):
    failed = replace(result, **change)
    assert not failed.ok
    assert not failed.to_dict()["ok"]
    page = render_report(failed)
    assert "1 of 4 checks failed" in page
    assert said in page


def test_a_run_that_demanded_nothing_did_not_hold():
    nothing = DemoResult("Demo", 0, 1)
    assert not nothing.ok
    assert "Nothing was checked" in render_report(nothing)


def test_the_page_shows_what_was_found(result):
    page = render_report(result)
    for shown in (
        "gold.user_totals",
        "not_json",
        "90.00 %",
        "2.10 s",
        "Merged sessions",
        "0:42 min",
        "3.0 GB",
        "7 services",
    ):
        assert shown in page
    assert page.count("<svg") == 3


def test_the_page_loads_nothing_and_its_colours_follow_the_theme(result):
    loads: list[str] = []

    class Loads(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            loads.extend(f"{tag} {value}" for name, value in attrs if name in ("src", "data") or tag == "link")
            if tag == "script":
                loads.append(tag)

    page = render_report(result)
    Loads().feed(page)
    assert loads == []
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]+)", drawn)) == set()


def test_what_comes_from_outside_is_escaped(result):
    evil = "<script>alert(1)</script>"
    page = render_report(
        replace(result, title=evil, steps=[Step(evil, 1, evil)], facts={evil: 1}, links=[Link(evil, "http://x", evil)])
    )
    assert "<script" not in page


def test_both_files_are_written(result, tmp_path):
    page = write_report(result, tmp_path / "demo")
    assert page.read_text() == render_report(result)
    parsed = json.loads((tmp_path / "demo" / "result.json").read_text())
    assert parsed["ok"] is True
    assert parsed["seconds"] == 42.5
    assert parsed["tables"][0]["equal"] is True
    assert parsed["accounts"][0] == {
        "topic": "shop.clicks", "read": 100, "used": 90, "duplicate": 7, "dead": {"not_json": 2, "missing": 1},
        "on_time": 80, "late": 6, "very_late": 4, "balanced": True,
    }  # fmt: skip


def test_the_chart_colours_the_longest_steps_and_sums_up_the_rest():
    batches = [MicroBatch(1, 0, 10, 100.0, {f"step {n}": float(n) for n in range(12)})]
    assert largest_steps(batches) == [*(f"step {n}" for n in range(6, 12)), "other"]


def test_tables_that_are_written_side_by_side_are_not_stacked():
    batches = [
        MicroBatch(1, 0, 10, 9.0, {"silver.clicks": 4.0, "silver.purchases": 4.0, "silver": 5.0, "refresh": 3.0})
    ]
    assert largest_steps(batches) == ["silver", "refresh", "other"]
