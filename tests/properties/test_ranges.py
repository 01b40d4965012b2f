"""Ranges over frames are the ranges that the scopes say, row by row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.rust_engines.ranges import END, START, affected, inside, merged, needed, widened
from lakehouse.contracts.graph import REFRESHED
from lakehouse.semantics import Event
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.scopes import NaturalSession
from tests.properties.test_scopes import scope_time
from tests.strategies import event_streams

_TIMES: Final = st.integers(0, 40)
_BOUNDS: Final = st.tuples(st.sampled_from("ab"), _TIMES, st.integers(0, 8))
_SCHEMA: Final = {"user": pl.String, START: pl.Int64, END: pl.Int64}


def frame(bounds: list[tuple[str, int, int]]) -> pl.DataFrame:
    return pl.DataFrame([(key, start, start + size) for key, start, size in bounds], schema=_SCHEMA, orient="row")


def times(at: list[tuple[str, int]]) -> pl.DataFrame:
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for _, ms in at]
    types = {"user": pl.String, "at": pl.Datetime("us", "UTC")}
    return pl.DataFrame({"user": [key for key, _ in at], "at": moments}, schema=types)


@given(bounds=st.lists(_BOUNDS), rows=st.lists(st.tuples(st.sampled_from("abc"), _TIMES)))
def test_a_row_is_inside_where_a_range_of_its_key_holds_its_time(
    bounds: list[tuple[str, int, int]], rows: list[tuple[str, int]]
) -> None:
    held = inside(times(rows), [merged(frame(bounds))], "at").to_list()
    assert held == [any(k == key and start <= at <= start + size for k, start, size in bounds) for key, at in rows]


@given(bounds=st.lists(_BOUNDS), rows=st.lists(st.tuples(st.sampled_from("abc"), _TIMES)))
def test_without_a_key_the_time_alone_counts(bounds: list[tuple[str, int, int]], rows: list[tuple[str, int]]) -> None:
    held = inside(times(rows), [merged(frame(bounds).drop("user"))], "at").to_list()
    assert held == [any(start <= at <= start + size for _, start, size in bounds) for _, at in rows]


@given(points=st.lists(st.tuples(st.sampled_from("ab"), _TIMES), min_size=1), known=st.lists(_BOUNDS))
def test_points_are_widened_by_what_lies_less_than_the_gap_away(
    points: list[tuple[str, int]], known: list[tuple[str, int, int]]
) -> None:
    gap = 4
    found = widened(frame([(key, at, 0) for key, at in points]), frame(known), gap)
    session = NaturalSession(gap, ("user",), ("first", "last"))
    for key, at in points:
        # Each known range as times that lie less than the gap apart.
        near = [t for k, start, size in known if k == key for t in range(start, start + size + 1)]
        near += [t for k, t in points if k == key]
        start, end = session.rows(at, sorted(near))
        assert (key, start, end) in found.rows()
    assert len(found) <= len(points)


def columns(events: list[Event]) -> pl.DataFrame:
    rows = [event._asdict() for event in events]
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col("event_time").cast(pl.Datetime("ms", "UTC")).cast(pl.Datetime("us", "UTC"))
    )


@pytest.mark.parametrize("name", [name for name in REFRESHED if name not in ("silver.products", "silver.profiles")])
@given(stream=event_streams(min_size=1))
def test_what_events_affect_and_need_is_what_the_scope_says(name: str, stream: list[Event]) -> None:
    for topic, scope in SCOPES[name].affected.items():
        of_topic = [event for event in stream if event.topic == topic]
        if not of_topic or isinstance(scope, NaturalSession):
            continue
        ranges = affected(scope, columns(of_topic), "event_time")
        for event in of_topic:
            key = {column: getattr(event, column) for column in scope.key}
            if None in key.values():
                continue
            start, end = scope.rows(scope_time(event))
            assert holding(ranges, key, start, end)
            for need in SCOPES[name].needs.values():
                first, last = need.events(start, end)
                shared = {column: value for column, value in key.items() if column in need.key}
                assert holding(needed(need, ranges), shared, first, last)


def holding(ranges: pl.DataFrame, key: Mapping[str, object], start: int, end: int) -> bool:
    of_key = ranges.filter(pl.col(column) == value for column, value in key.items()) if key else ranges
    return bool(of_key.filter(pl.col(START) <= start, pl.col(END) >= end).height) or _stepwise(of_key, start, end)


def _stepwise(ranges: pl.DataFrame, start: int, end: int) -> bool:
    """Starts of windows are apart: each lies in a range of its own."""
    found = sorted(ranges.select(START, END).rows())
    return bool(found) and start in {first for first, _ in found} and end in {last for _, last in found}
