"""Values in JSON come back as they were, in readers whose numbers are doubles too."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.plain import EXACT, plain, plain_frame, write_json_lines

INT64 = st.integers(-(2**63), 2**63 - 1)
FRAME = pl.DataFrame(
    {
        "record_hash": [7, 2**60 - 1],
        "fingerprint": pl.Series([Decimal(7), Decimal(2**99)], dtype=pl.Decimal(38, 0)),
        "event_time": [datetime(2026, 3, 1, 10, 0, 0, 250_000, UTC), None],
        "event_date": [date(2026, 3, 1), None],
        "value": [b"\xff{", None],
        "region": ["süd", None],
        "ctr": [0.5, None],
        "revenue_cents": [1_250, None],
    }
)
FIRST = {
    "record_hash": "7",
    "fingerprint": "7",
    "event_time": "2026-03-01T10:00:00.250Z",
    "event_date": "2026-03-01",
    "value": "\\xff{",
    "region": "süd",
    "ctr": 0.5,
    "revenue_cents": 1_250,
}


def written(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """As a reader has it who knows no numbers but doubles."""
    target = io.BytesIO()
    write_json_lines(frame, target)
    return [json.loads(line, parse_int=float) for line in target.getvalue().splitlines()]


def test_a_table_s_rows_as_lines() -> None:
    first, second = written(FRAME)
    assert first == FIRST
    assert (second["record_hash"], second["fingerprint"]) == (str(2**60 - 1), str(2**99))
    assert second["event_time"] is second["value"] is None


def test_one_integer_beyond_doubles_changes_no_other_value() -> None:
    first, second = written(FRAME.with_columns(revenue_cents=pl.Series([1_250, EXACT + 1])))
    assert first == FIRST
    assert second["revenue_cents"] == str(EXACT + 1)


@given(st.lists(st.tuples(INT64, INT64), max_size=4))
def test_every_integer_comes_back(rows: list[tuple[int, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"revenue_cents": pl.Int64, "record_hash": pl.Int64}, orient="row")
    assert [(int(row["revenue_cents"]), int(row["record_hash"])) for row in written(frame)] == rows


def test_hashes_are_text_however_small_and_others_only_beyond_doubles() -> None:
    given = {"record_hash": 7, "hash_sum": 7, "fingerprint": 7, "events": 7, "equal": True, "amount_cents": -EXACT - 1}
    assert plain(given) == {
        "record_hash": "7",
        "hash_sum": "7",
        "fingerprint": "7",
        "events": 7,
        "equal": True,
        "amount_cents": str(-EXACT - 1),
    }


def test_a_row_and_a_frame_agree() -> None:
    assert plain(FRAME.row(0, named=True)) | {"event_time": FIRST["event_time"]} == FIRST
    assert plain_frame(FRAME).row(0, named=True) | {"event_date": FIRST["event_date"]} == FIRST
