"""What a diff counts, and what it shows."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.replay.diff import EXAMPLES, TableDiff, compare

TOTALS = "gold.user_totals"
AT = datetime(2026, 3, 1, tzinfo=UTC)


def totals(amounts: dict[str, int], changed_by: str = "stream") -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "user_id": user,
            "purchases": 1,
            "revenue_cents": cents,
            "first_purchase": AT,
            "last_purchase": AT,
            "events": 1,
            "fingerprint": Decimal(7),
            "changed_by": changed_by,
        }
        for user, cents in amounts.items()
    ]
    return pl.DataFrame(rows, schema=polars_schema(table(TOTALS)), orient="row")


def diff(before: pl.DataFrame, after: pl.DataFrame) -> TableDiff:
    return compare(TOTALS, 3, [], before, after)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2)),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2)),
)
def test_rows_are_added_removed_or_changed_by_their_keys(before: dict[str, int], after: dict[str, int]) -> None:
    found = diff(totals(before), totals(after))
    both = before.keys() & after.keys()
    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    assert found.changed == sum(before[user] != after[user] for user in both)
    assert found.columns == ({"revenue_cents": found.changed} if found.changed else {})
    assert (found.rows_before, found.rows_after) == (len(before), len(after))
    assert found.equal == (before == after)


def test_who_changed_a_row_last_is_no_difference() -> None:
    assert diff(totals({"ana": 1}), totals({"ana": 1}, "replay 7")).equal


def test_a_row_that_is_there_twice_is_one_to_be_removed() -> None:
    once = totals({"ana": 1, "ben": 2})
    found = diff(pl.concat([once, once[:1]]), once)
    assert (found.added, found.removed, found.changed) == (0, 1, 0)


def test_examples_are_few_and_show_both_sides() -> None:
    found = diff(totals({f"u{n}": n for n in range(20)}), totals({f"u{n}": n + 1 for n in range(20)}))
    assert len(found.examples) == EXAMPLES
    example = found.examples[0]
    assert example.before is not None
    assert example.after == example.before | {"revenue_cents": example.before["revenue_cents"] + 1}


def test_a_diff_can_be_kept_as_json() -> None:
    kept = compare(TOTALS, 3, [date(2026, 3, 1)], totals({"ana": 1}), totals({})).to_json()
    assert kept["days"] == ["2026-03-01"]
    assert kept["examples"][0]["before"]["fingerprint"] == "7"


def test_what_json_in_a_database_cannot_hold_is_kept_as_text() -> None:
    name = "gold.product_metrics_5m"
    rows = pl.DataFrame([{"product_id": "p\x00", "ctr": float("nan")}], schema=polars_schema(table(name)))
    example = compare(name, 3, [], rows, rows[:0]).to_json()["examples"][0]
    assert (example["key"]["product_id"], example["before"]["ctr"]) == ("p\\u0000", "nan")
