"""Results depend on which events there are, never on the order in which they are read or arrived."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakehouse.contracts.tables import table
from lakehouse.semantics import Event, Events, ProductVersion, ProfileVersion
from lakehouse.semantics.events import identity, key_of
from lakehouse.semantics.log import assemble
from lakehouse.semantics.reference import METRICS
from tests.strategies import event_streams, positioned

OF_THE_POSITION = {"partition", "offset", "arrival", "record_hash", "fingerprint"}


def rows(name: str, events: Events) -> dict[tuple[Any, ...], dict[str, Any]]:
    """A metric's rows by key; fails if one key has two rows."""
    key = table(name).key
    computed = list(METRICS[name].compute(events))
    keyed = {tuple(row[k] for k in key): row for row in computed}
    assert len(keyed) == len(computed), f"{name} has two rows of one key"
    return keyed


def without_position(found: dict[tuple[Any, ...], dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {
        key: {column: value for column, value in row.items() if column not in OF_THE_POSITION}
        for key, row in found.items()
    }


def has_rival_versions(stream: list[Event]) -> bool:
    """Two versions of one key with one `valid_from`: the higher offset wins, so their order in the log counts."""
    versions = {identity(e): e for e in stream if isinstance(e, ProductVersion | ProfileVersion)}.values()
    return len({(v.topic, key_of(v), v.valid_from) for v in versions}) < len(versions)


@pytest.mark.parametrize("name", METRICS)
@given(stream=event_streams(), order=st.randoms(use_true_random=False))
def test_reading_order_changes_nothing(name: str, stream: list[Event], order: Any) -> None:
    shuffled = list(stream)
    order.shuffle(shuffled)
    assert rows(name, assemble(stream).events) == rows(name, assemble(shuffled).events)


@pytest.mark.parametrize("name", METRICS)
@given(stream=event_streams(), order=st.randoms(use_true_random=False))
def test_arrival_order_changes_nothing_but_positions(name: str, stream: list[Event], order: Any) -> None:
    assume(not has_rival_versions(stream))
    shuffled = list(stream)
    order.shuffle(shuffled)
    arrived_otherwise = assemble(positioned(shuffled)).events
    assert without_position(rows(name, assemble(stream).events)) == without_position(rows(name, arrived_otherwise))


@given(stream=event_streams())
def test_every_record_is_accounted_for(stream: list[Event]) -> None:
    accounts = assemble(stream).accounts
    assert sum(a.read for a in accounts.values()) == len(stream)
    assert sum(a.used for a in accounts.values()) == len({identity(e) for e in stream})
    assert all(a.balanced for a in accounts.values())


@pytest.mark.parametrize("name", METRICS)
@given(stream=event_streams(min_size=1))
def test_rows_have_exactly_the_compared_columns(name: str, stream: list[Event]) -> None:
    for row in rows(name, assemble(stream).events).values():
        assert set(row) == set(table(name).compared_columns)
