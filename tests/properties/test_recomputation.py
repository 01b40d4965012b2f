"""For any stream, whole days of silver and gold are recomputed from bronze as the reference has them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.rust_engines.publish import MARTS
from jobs.rust_engines.recompute import RULES, computed, with_needs, within
from lakehouse.contracts.tables import table
from lakehouse.replay.request import COMPUTED_BY, SILVER, TOPIC_OF, Engine
from lakehouse.semantics import Event, Events
from lakehouse.semantics.log import assemble
from lakehouse.semantics.windows import utc_date
from tests.lake import expected, frame
from tests.strategies import bursts, event_streams, positioned

DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(4)]


@dataclass
class Frames:
    """Bronze as it came, and the tables as the reference has them: what is recomputed of `days` takes their place."""

    stream: Sequence[Event]
    events: Events
    days: Sequence[date]
    recomputed: dict[str, pl.DataFrame] = field(default_factory=dict)

    def records(self, name: str, day: date) -> pl.DataFrame:
        bronze = name.replace("silver.", "bronze.")
        rows = [
            event._asdict() | {"value": b"", "arrival_date": utc_date(event.arrival)}
            for event in self.stream
            if event.topic == TOPIC_OF[name]
        ]
        return frame(bronze, rows).filter(pl.col("event_time").dt.date() == day)

    def rows(self, name: str, first: date, last: date) -> pl.LazyFrame:
        return self.all_rows(name).filter(pl.col("event_date").is_between(first, last))

    def all_rows(self, name: str) -> pl.LazyFrame:
        stored = expected(name, self.events)
        if name not in self.recomputed:
            return stored.lazy()
        return pl.concat([stored.filter(~pl.col("event_date").is_in(self.days)), self.recomputed[name]]).lazy()

    def recompute(self, name: str, day: date) -> pl.DataFrame:
        rows = computed(name, self, day, "replay 1")
        if table(name).day:
            self.recomputed[name] = pl.concat([self.recomputed.get(name, rows.clear()), rows])
        return rows


def assert_recomputed(stream: Sequence[Event], days: Sequence[date]) -> None:
    frames = Frames(stream, assemble(stream).events, days)
    for name in RULES:
        contract = table(name)
        for day in days if contract.day else days[:1]:
            due = expected(name, frames.events, day if contract.day else None)
            found = frames.recompute(name, day).sort(contract.key).select(contract.compared_columns)
            assert found.equals(due.select(contract.compared_columns)), (name, day)


@settings(max_examples=25)
@given(stream=event_streams(), days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
def test_days_are_recomputed_as_the_reference_has_them(stream: list[Event], days: list[date]) -> None:
    assert_recomputed(stream, days)


@settings(max_examples=15)
@given(stream=event_streams(max_size=10), burst=bursts(max_size=40))
def test_many_payments_at_once_are_decided_alike(stream: list[Event], burst: list[Event]) -> None:
    assert_recomputed(positioned([*stream, *burst]), DAYS[:2])


@given(stream=event_streams(), limit=st.integers(0, 20))
def test_events_beyond_the_bound_don_t_count(stream: list[Event], limit: int) -> None:
    frames = Frames(stream, assemble(stream).events, DAYS)
    for name in SILVER.values():
        rows = pl.concat([frames.records(name, day) for day in DAYS])
        kept = within(rows.lazy(), {0: limit}).collect().sort("offset")
        assert kept.equals(rows.sort("offset").filter(pl.col("partition") == 0, pl.col("offset") <= limit))


def test_what_is_offered_is_what_can_be_computed() -> None:
    assert set(COMPUTED_BY[Engine.POLARS]) == MARTS.keys()
    assert set(COMPUTED_BY[Engine.DATAFUSION]) == (RULES.keys() - SILVER.values()) | MARTS.keys()


def test_what_a_table_needs_comes_before_it() -> None:
    assert with_needs(["gold.user_totals", "marts.region_daily"]) == [
        "silver.purchases",
        "gold.user_totals_daily",
        "gold.user_totals",
        "marts.region_daily",
    ]
