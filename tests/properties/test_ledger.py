"""The ledger's arithmetic for any stream: what the reference makes of it adds up; one row that is broken is named."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.ledger import DERIVED, Derived
from lakehouse.ledger.derived import PRODUCT_5M, REDIS_SESSIONS
from lakehouse.ledger.differences import Differences
from lakehouse.ledger.records import losers
from lakehouse.ledger.rows import compare_rows
from lakehouse.semantics import Event, Events
from lakehouse.semantics.log import assemble
from lakehouse.semantics.metrics.sessions.reference import current_sessions
from lakehouse.semantics.reference import METRICS
from tests.lake import frame
from tests.strategies import event_streams

EXAMPLES = settings(max_examples=25)


def rows_of(derived: Derived, events: Events) -> pl.DataFrame:
    if derived.name == REDIS_SESSIONS:
        return frame("silver.sessions", current_sessions(events))
    name = PRODUCT_5M if derived.live else derived.name
    return frame(name, METRICS[name].compute(events))


def compared(derived: Derived, events: Events, rows: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    sources = {name: frame(name, METRICS[name].compute(events)).lazy() for name in derived.sources}
    found = compare_rows(derived, rows.lazy(), derived.gives({**sources, derived.name: rows.lazy()}))
    return {kind: keys.to_dicts() for kind, keys in kinds(found).items() if keys.height}


def kinds(found: Differences) -> Mapping[str, pl.DataFrame]:
    return {"lost": found.lost, "doubled": found.doubled, "altered": found.altered}


@pytest.mark.parametrize("derived", DERIVED.values(), ids=list(DERIVED))
@EXAMPLES
@given(stream=event_streams(), draw=st.randoms(use_true_random=False))
def test_rows_add_up_to_the_events_and_a_broken_one_is_named(
    derived: Derived, stream: list[Event], draw: random.Random
) -> None:
    events = assemble(stream).events
    rows = rows_of(derived, events)
    assert compared(derived, events, rows) == {}
    if rows.is_empty():
        return
    index = draw.randrange(rows.height)
    key = [{name: rows[name][index] for name in derived.key}]
    assert compared(derived, events, pl.concat([rows, rows[index : index + 1]])) == {"doubled": key}
    altered = draw.choice(derived.summed)
    here = pl.int_range(pl.len()) == index
    more = pl.when(here).then(pl.col(altered).fill_null(0) + 1).otherwise(altered).alias(altered)
    assert compared(derived, events, rows.with_columns(more.cast(rows.schema[altered]))) == {"altered": key}
    if movable := [name for name in derived.key if rows[name][index] is not None]:
        moved = compared(derived, events, move(rows, index, draw.choice(movable)))
        assert moved["lost"] == key
    dropped = compared(derived, events, pl.concat([rows[:index], rows[index + 1 :]]))
    assert dropped == {"lost": key}


def move(rows: pl.DataFrame, index: int, name: str) -> pl.DataFrame:
    """One row with another key."""
    kind = rows.schema[name]
    other = pl.col(name) + (pl.lit("?") if kind == pl.String else 1000 if kind.is_integer() else pl.duration(days=9999))
    here = pl.int_range(pl.len()) == index
    return rows.with_columns(pl.when(here).then(other).otherwise(name).cast(kind).alias(name))


def numbered(versions: Iterable[Event], rival: str | None) -> pl.DataFrame:
    """As the ledger reads bronze: numbers in place of text."""
    order: dict[object, int] = {}
    rows = [
        {
            "position": v.offset,
            "identity": order.setdefault(("event", v[2], v.event_id, v.event_time), len(order)),
            "rival": order.setdefault(("rival", v[2], getattr(v, rival)), len(order)) if rival else 0,
        }
        for v in versions
    ]
    return pl.DataFrame(rows, schema={"position": pl.Int64, "identity": pl.UInt64, "rival": pl.UInt64})


@EXAMPLES
@given(stream=event_streams())
def test_bronze_is_silver_and_what_silver_leaves_out(stream: list[Event]) -> None:
    for topic, name in (("shop.clicks", "silver.clicks"), ("shop.products", "silver.products")):
        records = [e for e in stream if e.topic == topic and e.partition == 0]
        kept = {row["offset"] for row in METRICS[name].compute(assemble(records).events)}
        bronze = numbered(records, "valid_from" if topic == "shop.products" else None)
        duplicates, superseded = losers(bronze, changelog=topic == "shop.products")
        left_out = [*duplicates["position"], *superseded["position"]]
        assert len(left_out) == len(set(left_out))
        assert sorted([*kept, *left_out]) == sorted(e.offset for e in records)
