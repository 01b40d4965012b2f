"""Which days and rows events affect, counted for millions at once as one by one."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.replay.affected import Affected
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.scopes import IntervalAround, Window
from lakehouse.settings import Settings

TIMES = st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 4)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
)
BY_DAY = ("gold.product_metrics_5m", "gold.region_revenue_sliding_10m", "gold.user_totals_daily",
          "gold.fraud_decisions", "silver.purchase_clicks", "marts.region_daily")  # fmt: skip


def one_by_one(name: str, topic: str, times: list[datetime]) -> set[date]:
    scope = SCOPES[name].affected[topic]
    assert isinstance(scope, Window | IntervalAround)
    epoch, days = datetime(1970, 1, 1, tzinfo=UTC), set()
    for time in times:
        for edge in scope.rows((time - epoch) // timedelta(milliseconds=1)):
            days.add((epoch + timedelta(milliseconds=edge)).date())
    return days


@given(times=st.lists(TIMES, min_size=1, max_size=20))
def test_the_days_are_those_of_each_events_rows(times: list[datetime]) -> None:
    moments = pl.Series("event_time", times, pl.Datetime("us", "UTC"))
    events = moments.to_frame().with_columns(event_date=pl.col("event_time").dt.date())
    for name in BY_DAY:
        for topic in SCOPES[name].affected:
            if topic != "shop.products":
                assert Affected(Settings(), {topic: events}).days(name) == one_by_one(name, topic, times), name
