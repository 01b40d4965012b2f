"""What may be asked of a replay, and what is refused with a sentence that helps."""

from datetime import UTC, datetime

import pytest

from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.tables import UnknownTableError
from lakehouse.replay.request import COMPUTED_BY, MARTS, STREAMED, TARGETS, Clock, Engine, Request, RequestError

NOW = datetime(2026, 3, 10, tzinfo=UTC)
FROM = datetime(2026, 3, 1, 14, tzinfo=UTC)
TO = datetime(2026, 3, 1, 15, tzinfo=UTC)


def test_without_tables_all_that_the_events_affect_are_meant() -> None:
    assert Request.checked(FROM, TO, NOW).targets == STREAMED
    assert Request.checked(FROM, TO, NOW, topics=["shop.transactions"]).targets == (
        "gold.fraud_decisions",
        "gold.alerts",
    )


def test_tables_come_in_the_order_of_their_contracts() -> None:
    names = ["gold.user_totals", "silver.sessions"]
    assert Request.checked(FROM, TO, NOW, targets=names).targets == ("silver.sessions", "gold.user_totals")


def test_tables_that_only_grow_are_no_targets() -> None:
    assert not {"silver.clicks", "bronze.clicks", "silver.alerts_sent"} & set(TARGETS)


@pytest.mark.parametrize("engine", [engine for engine, names in COMPUTED_BY.items() if names])
def test_without_tables_all_that_the_engine_recomputes_but_marts_are_meant(engine: Engine) -> None:
    request = Request.checked(FROM, TO, NOW, engine=engine)
    assert (request.engine, request.targets) == (engine, MARTS if engine is Engine.POLARS else STREAMED)
    assert set(request.targets) <= set(COMPUTED_BY[engine])


@pytest.mark.skipif(CORE is Core.FOLLOWER, reason="Spark recomputes beside the Spark driver alone")
def test_what_an_engine_does_not_recompute_is_refused_with_who_does() -> None:
    with pytest.raises(RequestError, match=r"silver.sessions is not recomputed by polars, but by spark and datafusion"):
        Request.checked(FROM, TO, NOW, targets=["silver.sessions"], engine="polars")
    with pytest.raises(RequestError, match=r"marts.region_daily is not recomputed by spark, but by polars and datafu"):
        Request.checked(FROM, TO, NOW, targets=["marts.region_daily"])
    with pytest.raises(RequestError, match=r"polars recomputes nothing that shop.transactions affect"):
        Request.checked(FROM, TO, NOW, topics=["shop.transactions"], engine="polars")
    with pytest.raises(RequestError, match=r"there is no engine duckdb; there are spark, polars, datafusion"):
        Request.checked(FROM, TO, NOW, engine="duckdb")


def test_marts_are_targets() -> None:
    assert Request.checked(FROM, TO, NOW, targets=MARTS, engine="datafusion").targets == MARTS


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (TO, FROM, "'to' must lie after 'from'"),
        (FROM, FROM, "'to' must lie after 'from'"),
        (FROM, datetime(2026, 3, 11, tzinfo=UTC), "lies in the future; it is 2026-03-10T00:00:00Z"),
        (FROM.replace(tzinfo=None), TO, "has no time zone"),
    ],
)
def test_times_that_make_no_sense_are_refused(start: datetime, end: datetime, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        Request.checked(start, end, NOW)


def test_topics_that_are_no_events_are_refused() -> None:
    with pytest.raises(RequestError, match=r"shop.products can't be replayed; what can: shop.clicks"):
        Request.checked(FROM, TO, NOW, topics=["shop.products"])
    with pytest.raises(RequestError, match=r"no topic to replay"):
        Request.checked(FROM, TO, NOW, topics=[])


def test_tables_that_replays_do_not_write_are_refused() -> None:
    with pytest.raises(UnknownTableError, match=r"gold.typo"):
        Request.checked(FROM, TO, NOW, targets=["gold.typo"])
    with pytest.raises(RequestError, match=r"silver.clicks is not a table that replays write"):
        Request.checked(FROM, TO, NOW, targets=["silver.clicks"])
    with pytest.raises(RequestError, match=r"gold.user_totals does not depend on shop.clicks"):
        Request.checked(FROM, TO, NOW, Clock.ARRIVAL, ["shop.clicks"], ["gold.user_totals"])
