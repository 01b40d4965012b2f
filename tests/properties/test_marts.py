"""For any stream, Polars and DataFusion make of the tables what the reference makes of the events, on every day."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings

from jobs.rust_engines.publish import MARTS
from jobs.rust_engines.sources import Sources
from lakehouse.contracts.tables import table
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Event, Events
from lakehouse.semantics.log import assemble
from lakehouse.settings import Settings
from tests.lake import expected
from tests.strategies import event_streams

DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(4)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


def sources(folder: Path, events: Events, *names: str) -> Sources:
    """The reference's rows as tables on the local disk."""
    for name in names:
        rows = to_arrow(name, expected(name, events))
        write_deltalake(folder / name, rows, mode="overwrite", partition_by=list(table(name).partition_by))
    return Sources(Settings(), {name: DeltaTable(folder / name) for name in names})


@pytest.mark.parametrize("mart", MARTS.values(), ids=list(MARTS))
@settings(max_examples=15)
@given(stream=event_streams())
def test_both_engines_equal_the_reference(mart, folder: Path, stream: list[Event]) -> None:
    events = assemble(stream).events
    pinned = sources(folder, events, *mart.reads)
    for day in DAYS:
        due = expected(mart.name, events, day)
        for engine in ("polars", "datafusion"):
            assert mart.compute(engine, pinned, day).equals(due), (engine, day)


@pytest.mark.parametrize("mart", MARTS.values(), ids=list(MARTS))
@settings(max_examples=15)
@given(stream=event_streams())
def test_a_days_rows_depend_on_the_events_of_their_span_alone(mart, folder: Path, stream: list[Event]) -> None:
    events = assemble(stream).events
    pinned = sources(folder, events, *mart.reads)
    for day in DAYS:
        first, last = (int(moment.timestamp() * 1000) for moment in mart.span(pinned, day))
        near = Events(
            [click for click in events.clicks if first <= click.event_time <= last],
            [purchase for purchase in events.purchases if first <= purchase.event_time <= last],
            products=[version for version in events.products if version.valid_from <= last],
        )
        assert expected(mart.name, near, day).equals(expected(mart.name, events, day)), day
