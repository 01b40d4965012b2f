"""Totals to which is added what came, and of which is taken off what went, are those of all that there is."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from jobs.follower.totals import Change
from jobs.rust_engines.sql import Frames
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.semantics.metrics import ROOMS, placeholder, refresh_sql

TOTALS: Final = "gold.user_totals"
DAILY: Final = "gold.user_totals_daily"
KEY: Final = ["user_id"]
DAY: Final = datetime(2026, 3, 1, tzinfo=UTC)
FRAMES: Final = Frames()

_ROW: Final = st.tuples(
    st.sampled_from("ab"),
    st.integers(0, 3),  # the day
    st.integers(0, 3),  # minutes from its start to the first
    st.integers(0, 3),  # and from there to the last
    st.sampled_from([0, 1, 2**62, None]),
)
_ROWS: Final = st.lists(_ROW, unique_by=lambda row: row[:2])


def daily(rows: list[tuple[str, int, int, int, int | None]]) -> pl.DataFrame:
    """A hash of a row tells its values."""
    found = [
        {
            "user_id": user,
            "purchases": 1 + lasts,
            "revenue_cents": cents,
            "first_purchase": DAY + timedelta(days=day, minutes=first),
            "last_purchase": DAY + timedelta(days=day, minutes=first + lasts),
            "events": 1 + lasts,
            "fingerprint": hash((user, day, first, lasts)) & 0xFFFF,
            "changed_by": "",
            "event_date": date(2026, 3, 1) + timedelta(days=day),
        }
        for user, day, first, lasts, cents in rows
    ]
    return pl.DataFrame(found, schema=polars_schema(table(DAILY)))


def totals(rows: pl.DataFrame) -> pl.DataFrame:
    types = polars_schema(table(TOTALS))
    found = FRAMES.run(refresh_sql(TOTALS), **{placeholder(DAILY): rows})
    return found.select(pl.col(c).cast(types[c]) for c in table(TOTALS).compared_columns)


@given(before=_ROWS, after=_ROWS)
def test_what_was_gained_and_lost_makes_the_totals_of_what_is_there(
    before: list[tuple[str, int, int, int, int | None]], after: list[tuple[str, int, int, int, int | None]]
) -> None:
    declared = ROOMS[TOTALS].totals
    assert declared
    old, new = daily(before), daily(after)
    gained, lost = (totals(a.join(b, a.columns, "anti", nulls_equal=True)) for a, b in ((new, old), (old, new)))
    change = Change.of(gained, lost, KEY, declared)
    held = totals(old).filter(pl.col("revenue_cents").is_not_null())
    without = totals(old).filter(pl.col("revenue_cents").is_null()).select(KEY)
    found = change.applied(held, declared).join(without, KEY, "anti").select(held.columns)
    expected = totals(new).join(pl.concat([change.again, without]), KEY, "anti")
    assert_frame_equal(found.sort(KEY), expected.sort(KEY))
