"""How a table follows those that it is computed from, and in which order its files are cut."""

import pytest

from lakehouse.semantics.metrics import ROOMS, SCOPES
from lakehouse.semantics.scopes import Aligned, Followed, IntervalAround, Key
from lakehouse.semantics.windows import HOUR


@pytest.mark.parametrize("source", ["silver.clicks", "silver.purchases"])
def test_events_affect_what_the_scope_of_their_topic_says(source: str) -> None:
    name, topic = "silver.purchase_clicks", source.replace("silver", "shop")
    scope = SCOPES[name]
    only = {"action": "click"} if source == "silver.clicks" else {}
    assert ROOMS[name].follows[source] == Followed(scope.affected[topic], scope.needs[topic], "event_time", only)


@pytest.mark.parametrize(
    ("name", "source", "scope", "time"),
    [
        ("silver.sessions", "silver.session_parts", IntervalAround(0, 0, ("user_id",)), "session_start"),
        ("gold.region_revenue_daily", "gold.region_revenue_5m", IntervalAround(0, 0, ("region",)), "event_date"),
        ("gold.user_totals", "gold.user_totals_daily", Key(("user_id",)), None),
        ("gold.alerts", "silver.sessions", Aligned(HOUR, ()), "session_start"),
        ("gold.alerts", "gold.fraud_decisions", Aligned(HOUR, ()), "event_time"),
    ],
)
def test_rows_that_are_added_up_affect_those_of_their_key_and_time(
    name: str, source: str, scope: Key | IntervalAround | Aligned, time: str | None
) -> None:
    assert ROOMS[name].follows[source] == Followed(scope, scope, time)


def test_versions_are_followed_by_the_time_from_which_they_are_valid() -> None:
    assert ROOMS["silver.products"].follows["bronze.products"].time == "valid_from"


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("silver.clicks", "event_time"),
        ("silver.sessions", "session_end"),
        ("silver.session_parts", "part_end"),
        ("gold.product_metrics_5m", "window_start"),
        ("gold.user_totals", "user_id"),
    ],
)
def test_files_are_cut_by_the_time_of_rows(name: str, column: str) -> None:
    assert ROOMS[name].cut_by == column


def test_all_that_is_compared_of_totals_is_added_up() -> None:
    for room in ROOMS.values():
        if room.totals:
            added_up = {*room.totals.sums, *room.totals.least, *room.totals.greatest}
            assert added_up == {*room.contract.compared_columns} - {*room.contract.key}
            assert room.scope.row_time is None
            assert len(room.contract.reads) == 1
