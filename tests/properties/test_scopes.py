"""A refresh may rest on the declared scopes: an event changes no row outside `affected`, and the events of
`needs` are enough to recompute the rows inside."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.semantics import Event, Events, ProductVersion, ProfileVersion
from lakehouse.semantics.events import identity
from lakehouse.semantics.log import assemble
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.reference import METRICS
from lakehouse.semantics.scopes import Range
from lakehouse.semantics.windows import midnight
from tests.properties.test_convergence import rows
from tests.strategies import event_streams, events, moved


def scope_time(event: Event) -> int:
    return event.valid_from if isinstance(event, ProductVersion | ProfileVersion) else event.event_time


def affected_range(name: str, event: Event, log: Events) -> Range | None:
    """The rows that `event`, which is in `log`, affects."""
    scope = SCOPES[name].affected.get(event.topic)
    if scope is None:
        return None
    key = {column: getattr(event, column) for column in scope.key}
    if None in key.values() or not counts(name, event):
        return None  # no row has a null key
    same_key = (e for e in log.of_topic(event.topic) if all(getattr(e, c) == v for c, v in key.items()))
    start, end = scope.rows(scope_time(event), sorted(scope_time(e) for e in same_key))
    return Range(key, start, end)


def counts(name: str, event: Event) -> bool:
    """Whether it is among those of its topic that matter to the rows."""
    return all(getattr(event, c) == value for c, value in SCOPES[name].only.get(event.topic, {}).items())


def row_time(name: str, row: dict[str, Any]) -> int:
    column = SCOPES[name].row_time
    if column is None:
        return 0
    value = row[column]
    return midnight(value) if isinstance(value, date) else value


def holds(name: str, scope: Range | None, row: dict[str, Any]) -> bool:
    return scope is not None and scope.holds(row, row_time(name, row))


def needed(name: str, scope: Range, log: Events) -> Events:
    """The events that `needs` lets a refresh of `scope` read."""
    chosen = Events()
    for topic, need in SCOPES[name].needs.items():
        start, end = need.events(scope.start_ms, scope.end_ms)
        for event in log.of_topic(topic):
            if (
                start <= scope_time(event) <= end
                and counts(name, event)
                and all(getattr(event, column) == scope.key[column] for column in need.key if column in scope.key)
            ):
                chosen.add(event)
    return chosen


def appended(stream: list[Event], event: Event) -> list[Event]:
    """`stream` with `event` as a record after all others."""
    return [*stream, moved(event, 1_000, partition=0)]


@pytest.mark.parametrize("name", METRICS)
@given(stream=event_streams(), event=events)
def test_rows_outside_the_affected_scope_never_change(name: str, stream: list[Event], event: Event) -> None:
    before, after = assemble(stream).events, assemble(appended(stream, event)).events
    scope = affected_range(name, event, after)
    old, new = rows(name, before), rows(name, after)
    assert {k: r for k, r in old.items() if not holds(name, scope, r)} == {
        k: r for k, r in new.items() if not holds(name, scope, r)
    }


@pytest.mark.parametrize("name", METRICS)
@given(stream=event_streams(), event=events)
def test_needed_events_suffice_for_the_affected_rows(name: str, stream: list[Event], event: Event) -> None:
    log = assemble(appended(stream, event)).events
    scope = affected_range(name, event, log)
    if scope is None:
        return
    wanted = {k: r for k, r in rows(name, log).items() if holds(name, scope, r)}
    found = {k: r for k, r in rows(name, needed(name, scope, log)).items() if holds(name, scope, r)}
    assert wanted == found


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data(), stream=event_streams(min_size=1))
def test_refreshing_a_known_event_changes_nothing(name: str, data: st.DataObject, stream: list[Event]) -> None:
    """After a kill nothing in a batch is new, yet the refresh is owed: repeating it must be harmless."""
    log = assemble(stream).events
    event = data.draw(st.sampled_from(sorted({identity(e): e for e in stream}.values(), key=str)))
    scope = affected_range(name, event, log)
    if scope is None:
        return
    table = rows(name, log)
    refreshed = {k: r for k, r in table.items() if not holds(name, scope, r)} | {
        k: r for k, r in rows(name, needed(name, scope, log)).items() if holds(name, scope, r)
    }
    assert refreshed == table
