"""Files are cut so that what a time or a key needs is found by their statistics, and nothing is left out."""

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse.delta import layout
from lakehouse.delta.layout import Files, cut

_BEGIN: Final = datetime(2024, 3, 1, tzinfo=UTC)


def hourly(counts: list[int]) -> pl.DataFrame:
    times = [_BEGIN + timedelta(hours=hour, seconds=n) for hour, count in enumerate(counts) for n in range(count)]
    return pl.DataFrame({"at": times}, schema={"at": pl.Datetime("us", "UTC")}).with_row_index("id")


@given(counts=st.lists(st.integers(0, 12), max_size=8))
def test_crowded_hours_have_files_of_their_own_and_no_row_is_lost(counts: list[int]) -> None:
    with_many = layout.MANY
    layout.MANY = 5  # type: ignore[misc]
    try:
        files = list(cut(hourly(counts).sample(fraction=1, shuffle=True, seed=1), "at"))
    finally:
        layout.MANY = with_many  # type: ignore[misc]
    assert_frame_equal(pl.concat([hourly([]), *files]).sort("id"), hourly(counts))
    assert sum(bool(file.height) for file in files) <= sum(count >= 5 for count in counts) + 1
    for file in files:
        hours = file["at"].dt.truncate("1h")
        assert hours.n_unique() <= 1 or hours.value_counts()["count"].max() < 5  # type: ignore[operator]


class Opened:
    """Statistics as deltalake gives them."""

    def __init__(self, bounds: list[tuple[int | None, int | None]]) -> None:
        self.bounds = bounds

    def get_add_actions(self, flatten: bool) -> pl.DataFrame:
        assert flatten
        rows = [(str(n), 1, low, high) for n, (low, high) in enumerate(self.bounds)]
        types = {"path": pl.String, "num_records": pl.Int64, "min.at": pl.Int64, "max.at": pl.Int64}
        return pl.DataFrame(rows, schema=types, orient="row").to_arrow()  # type: ignore[return-value]


_BOUNDS: Final = st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda b: (b[0], b[0] + b[1]))


@given(files=st.lists(st.one_of(_BOUNDS, st.just((None, None)))), spans=st.lists(_BOUNDS))
def test_the_files_that_meet_a_span_are_found_and_those_that_say_nothing(
    files: list[tuple[int | None, int | None]], spans: list[tuple[int, int]]
) -> None:
    start, end = (pl.Series([span[n] for span in spans], dtype=pl.Int64) for n in (0, 1))
    found = Files(Opened(files)).between("at", "at", start, end)  # type: ignore[arg-type]
    meets = [
        str(n)
        for n, (low, high) in enumerate(files)
        if spans and (low is None or high is None or any(s <= high and e >= low for s, e in spans))
    ]
    assert sorted(found) == sorted(meets)
