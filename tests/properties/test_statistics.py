"""Statistics of a data file bound what it holds: a reader that skips by them misses nothing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.columns import Column, TableContract, Type
from lakehouse.delta.statistics import LONGEST, statistics

CONTRACT: Final = TableContract(
    "silver.things",
    "nobody",
    (
        Column("name", Type.STRING, nullable=True),
        Column("at", Type.TIMESTAMP),
        Column("count", Type.LONG, nullable=True),
        Column("rate", Type.DOUBLE),
        Column("sum", Type.FINGERPRINT),
    ),
    ("name",),
)
repeated = st.sampled_from(["a", "\ud7ff", "\U0010ffff"]).map(lambda character: character * LONGEST)
texts = st.text(max_size=4) | st.builds(str.__add__, repeated, st.text(max_size=2))
moments = st.integers(0, 10**12).map(lambda ms: datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms))
rows = st.tuples(st.none() | texts, moments, st.none() | st.integers(-(2**63), 2**63 - 1))


def said(drawn: list[tuple[str | None, datetime, int | None]]) -> dict[str, dict[str, object]]:
    columns = dict(zip(("name", "at", "count"), zip(*drawn, strict=True), strict=True))
    frame = pl.DataFrame(
        columns | {"rate": [0.5] * len(drawn), "sum": [1] * len(drawn)},
        schema={
            "name": pl.String, "at": pl.Datetime("us", "UTC"), "count": pl.Int64, "rate": pl.Float64,
            "sum": pl.Decimal(38, 0),
        },
    )  # fmt: skip
    return json.loads(statistics(CONTRACT, frame))  # type: ignore[no-any-return]


@given(drawn=st.lists(rows, min_size=1))
def test_every_value_lies_between_the_bounds(drawn: list[tuple[str | None, datetime, int | None]]) -> None:
    found = said(drawn)
    least, greatest = found["minValues"], found["maxValues"]
    for name, at, count in drawn:
        if name is not None:
            assert str(least["name"]).encode() <= name.encode()
            assert "name" not in greatest or name.encode() <= str(greatest["name"]).encode()
        if count is not None:
            assert least["count"] <= count <= greatest["count"]  # type: ignore[operator]
        assert datetime.fromisoformat(str(least["at"])) <= at <= datetime.fromisoformat(str(greatest["at"]))
    assert all(len(str(bounds.get("name", ""))) <= LONGEST for bounds in (least, greatest))


@given(drawn=st.lists(rows, min_size=1))
def test_rows_and_nulls_are_counted_and_decimals_and_doubles_left_out(
    drawn: list[tuple[str | None, datetime, int | None]],
) -> None:
    found = said(drawn)
    assert found["numRecords"] == len(drawn)
    assert found["nullCount"] == {
        "name": sum(name is None for name, *_ in drawn), "at": 0, "count": sum(n is None for *_, n in drawn),
        "rate": 0, "sum": 0,
    }  # fmt: skip
    assert {"rate", "sum"}.isdisjoint({*found["minValues"], *found["maxValues"]})


def test_what_has_nothing_above_it_has_no_greatest_value() -> None:
    at = datetime(2024, 3, 1, tzinfo=UTC)
    assert "name" not in said([("\U0010ffff" * 33, at, 1)])["maxValues"]
    assert said([("a" * 31 + "\ud7ffz", at, 1)])["maxValues"]["name"] == "a" * 31 + "\ue000"
