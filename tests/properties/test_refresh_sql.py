"""Every metric's one SQL says what the reference says: here by DataFusion, and by Spark on a stack."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from jobs.rust_engines.sql import Frames
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import table
from lakehouse.semantics import Event, Events
from lakehouse.semantics.events import identity
from lakehouse.semantics.log import assemble
from lakehouse.semantics.reference import METRICS
from tests.lake import frame
from tests.properties.test_scopes import affected_range, appended, holds, needed
from tests.refreshed import plain, refreshed, rows_of
from tests.strategies import event_streams, events, moved

_FRAMES: Final = Frames()


@pytest.mark.parametrize("name", DERIVED)
@settings(max_examples=30)
@given(stream=event_streams())
def test_the_sql_gives_the_reference_s_rows(name: str, stream: list[Event]) -> None:
    assert_frame_equal(refreshed(_FRAMES.run, name, stream), rows_of(name, stream))


@pytest.mark.parametrize("change", ["comes", "goes", "is displaced by a copy from a lower position"])
@pytest.mark.parametrize("name", DERIVED)
@settings(max_examples=12)
@given(data=st.data(), stream=event_streams(min_size=1))
def test_rows_that_an_event_affects_are_refreshed_from_what_they_need(
    name: str, change: str, data: st.DataObject, stream: list[Event]
) -> None:
    event = data.draw(events if change == "comes" else st.sampled_from(stream))
    others = [each for each in stream if identity(each) != identity(event)]
    match change:
        case "comes":
            before, after = stream, appended(stream, event)
        case "goes":
            before, after = stream, others
        case _:
            before = [*others, moved(event, 0, partition=9)]
            after = [*before, event]
    met = assemble(before if change == "goes" else after).events
    scope, then = affected_range(name, event, met), assemble(after).events
    kept = [row for row in METRICS[name].compute(assemble(before).events) if not holds(name, scope, row)]
    read = needed(name, scope, then) if scope else Events()
    found = refreshed(_FRAMES.run, name, [each for topic in EVENTS for each in read.of_topic(topic)])
    new = [row for row in plain(name, found) if holds(name, scope, row)]
    assert_frame_equal(frame(name, [*kept, *new]).select(table(name).compared_columns), rows_of(name, after))
