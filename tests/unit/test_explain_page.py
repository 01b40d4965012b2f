"""The page of an explanation: the form by the table's key, what was found, and nothing of it taken for markup."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from lakehouse.contracts.identity import record_hash
from lakehouse.explain import Explanation
from lakehouse.explain.explanation import RECORDS, Change
from lakehouse.explain.page import SHOWN_RECORDS, render_explanation, without_empty

EVIL = "<script>alert(1)</script>"
AT = datetime(2026, 3, 1, 14, 2, tzinfo=UTC)
WINDOW = "gold.product_metrics_5m"


def records(count: int, value: bytes = b'{"user_id": "ana"}') -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "topic": "shop.clicks",
            "partition": 0,
            "offset": n,
            "status": "counted",
            "lateness": "on_time",
            "arrival": AT,
            "event_time": AT,
            "key": "ana",
            "event_id": f"e{n}",
            "value": value,
        }
        | dict.fromkeys(("record_hash", "value_hash"), record_hash("shop.clicks", 0, n, value))
        for n in range(count)
    ]
    return pl.DataFrame(rows, schema=RECORDS)


def explanation(count: int = 2, value: bytes = b"{}", **other: Any) -> Explanation:
    found = records(count, value)
    row = {"product_id": "mug", "clicks": count, "events": count, "fingerprint": found["record_hash"].sum()}
    said = Change(7, AT, "stream batch 3 of spark_lakehouse", {}, row | {"clicks": count - 1})
    key = {"product_id": "mug", "window_start": AT}
    whole: dict[str, Any] = {"row": row, "changed": said} | other
    return Explanation(WINDOW, 7, key, read={"silver.clicks": 5}, records=found, **whole)


def test_without_a_table_it_asks_for_one() -> None:
    page = render_explanation()
    assert f"<option>{WINDOW}</option>" in page
    assert 'name="key"' not in page


def test_with_a_table_it_asks_for_the_key_in_its_order() -> None:
    page = render_explanation(WINDOW)
    assert f"<option selected>{WINDOW}</option>" in page
    assert page.index("product_id<input") < page.index("window_start<input")
    assert 'placeholder="2026-03-01T14:00 (UTC)" required' in page


def test_it_shows_the_row_its_change_and_its_records() -> None:
    page = render_explanation(WINDOW, ["mug", "2026-03-01T14:00"], explanation())

    for text in (
        "It adds up: 2 events",
        "stream batch 3 of spark_lakehouse",
        "2 records counted (2 on_time)",
        "shop.clicks[0] 1",
        "silver.clicks 5",
        'value="2026-03-01T14:00"',
    ):
        assert text in page  # fmt: skip
    assert "<td>1</td><td>2</td>" in page, "clicks before and since"


def test_it_says_what_does_not_add_up() -> None:
    found = explanation()
    page = render_explanation(WINDOW, ["mug", ""], explanation(row=dict(found.row) | {"events": 3}))
    assert "It does not add up" in page
    assert "events is 3 in the row and 2 by its records" in page


def test_a_row_that_was_not_there_before_and_one_whose_change_is_not_known() -> None:
    new = Change(1, AT, "stream batch 1", {}, None)
    assert "it was not there before" in render_explanation(WINDOW, [], explanation(changed=new))
    page = render_explanation(WINDOW, [], explanation(changed=None, notes=("no longer in the history",)))
    assert "Last change" not in page
    assert "no longer in the history" in page


def test_of_many_records_it_shows_the_first_and_says_how_many_more() -> None:
    page = render_explanation(WINDOW, [], explanation(SHOWN_RECORDS + 1))
    assert page.count('<td class="nowrap">shop.clicks[0]') == SHOWN_RECORDS
    assert "1 more" in page


@pytest.mark.parametrize(
    "page",
    [
        render_explanation(EVIL, [EVIL], problem=EVIL),
        render_explanation(WINDOW, [EVIL, EVIL], explanation(value=EVIL.encode(), notes=(EVIL,))),
        render_explanation(WINDOW, ['" autofocus onfocus="alert(1)'], problem='" onload="'),
    ],
    ids=["problem", "records", "attributes"],
)
def test_what_comes_from_outside_is_escaped(page: str) -> None:
    assert "<script" not in page
    assert '" onfocus' not in page
    assert '" onload' not in page


@pytest.mark.parametrize(
    ("table", "values", "kept"),
    [
        ("gold.alerts", ["ctr_anomaly", "mug", "14:00", "", ""], ["ctr_anomaly", "mug", "14:00"]),
        ("marts.region_daily", ["2026-03-01", ""], ["2026-03-01", ""]),
        ("gold.user_totals", ["ana"], ["ana"]),
        ("gold.nothing", [""], [""]),
    ],
    ids=["null at the end", "text may be empty", "nothing empty", "no such table"],
)
def test_only_what_may_be_null_at_the_end_is_left_out(table: str, values: list[str], kept: list[str]) -> None:
    assert without_empty(table, values) == kept
