"""A mart's day as it was and as it is: which rows differ, in which columns, and what made the difference."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from jobs.rust_engines import look_at
from lakehouse.contracts.tables import UnknownTableError, table
from lakehouse.delta import Once, VersionMissingError, append, create_table, open_table, replace_all, replace_days
from lakehouse.delta.maintenance import compact
from lakehouse.delta.notes import Asked, Batch
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Event, Events
from lakehouse.semantics.log import assemble
from lakehouse.semantics.windows import MINUTE
from lakehouse.settings import Settings
from lakehouse.time_travel.difference import Difference, RowChange, difference
from tests.integration.tables.test_table_command import Shell
from tests.lake import expected, frame
from tests.strategies import MORNING, click, impression, positioned, product, purchase

DAY = date(2024, 3, 1)
KINDS = ("clicks", "purchases", "products")
DERIVED = ("silver.sessions", "gold.product_metrics_5m")
BEFORE = [
    product("mug", "00:00"),
    product("pan", "00:00"),
    click("ana", "10:00"),
    impression("ana", "10:20", "pan", region="süd"),
    purchase("ana", "10:10", cents=700),
    click("bo", "23:50", "pan"),
]


class Stream:
    """Events that come in batch by batch, and the tables that one owner keeps of them."""

    def __init__(self, lake: Settings) -> None:
        self._lake = lake
        self._sent: list[Event] = []
        self._batches = 0
        for name in (*(f"{layer}.{kind}" for layer in ("bronze", "silver") for kind in KINDS), *DERIVED):
            create_table(lake, name)

    def batch(self, *events: Event, correction: str = "") -> datetime:
        """Writes what the batch adds to bronze and silver, refreshes the rest, and tells when it was done."""
        self._batches += 1
        note = Batch(job="spark_lakehouse", batch_id=self._batches, correction=correction)
        before = self._sent
        self._sent = positioned([*before, *events])  # earlier ones keep their positions
        was, is_now = assemble(before).events, assemble(self._sent).events
        read: dict[str, int] = {}
        for kind in KINDS:
            self._append(f"bronze.{kind}", bronze(kind, self._sent[len(before) :]), note)
        for name in ("silver.clicks", "silver.purchases"):
            new = expected(name, is_now).join(expected(name, was), on=["partition", "offset"], how="anti")
            read[name] = self._append(name, new, note)
        for name in ("silver.products", *DERIVED):
            rows, old = expected(name, is_now), expected(name, was)
            if rows.equals(old):
                continue
            noted, content = note.reading(read), to_arrow(name, rows)
            if name == "silver.products":
                replace_all(self._lake, name, content, Once.new("test"), noted)
            else:
                days = {*rows["event_date"], *old["event_date"]}
                replace_days(self._lake, name, days, content, Once.new("test"), noted)
        return datetime.now(UTC)

    def _append(self, name: str, rows: pl.DataFrame, note: Batch) -> int:
        return append(self._lake, name, to_arrow(name, rows), Once.new("test"), note)


def bronze(name: str, records: list[Event]) -> pl.DataFrame:
    contract = table(f"bronze.{name}")
    rows = [
        e._asdict() | {"value": b"", "arrival_date": date(2024, 5, 30)} for e in records if e.topic == f"shop.{name}"
    ]
    return frame(contract.name, rows)


@pytest.fixture
def stream(lake) -> Stream:
    return Stream(lake)


@pytest.fixture
def compared(lake) -> Callable[[str, datetime], Difference]:
    return lambda mart, as_of: difference(lake, look_at(lake, mart, DAY, as_of), look_at(lake, mart, DAY))


def came(found: Difference) -> list[tuple[str, str, str]]:
    return found.events.select("event_id", "change", "lateness").rows()


def causes(found: Difference) -> list[tuple[str, str]]:
    return [(commit.table, commit.why) for commit in found.commits]


def test_nothing_came_in(stream, compared):
    then = stream.batch(*BEFORE)
    found = compared("region_daily", then)
    assert found.equal
    assert (found.now.rows.height, found.commits, found.events.height) == (2, (), 0)


def test_late_events_change_and_add_rows(stream, compared):
    then = stream.batch(*BEFORE)
    stream.batch(
        click("ana", "23:45", event_id="newer"),
        click("ana", "10:05", region="west", event_id="very late"),
        purchase("bo", "23:59", region="north", cents=50, event_id="on time"),
        click("ana", "34:00", event_id="of tomorrow"),
    )
    found = compared("region_daily", then)
    assert found.added.select("region", "clicks", "events").rows() == [("west", 1, 1)]
    assert found.removed.is_empty()
    (north,) = found.changed
    assert north.key == {"event_date": DAY, "region": "north"}
    assert {name: (north.then[name], north.now[name]) for name in ("clicks", "revenue_cents")} == {
        "clicks": (2, 3),
        "revenue_cents": (700, 750),
    }
    assert "impressions" not in north.now
    assert came(found) == [
        ("very late", "new", "very_late"),
        ("newer", "new", "on_time"),
        ("on time", "new", "on_time"),
    ]
    assert found.lateness == {"new": {"very_late": 1, "on_time": 2}}
    assert causes(found) == [
        ("silver.clicks", "stream batch 2 of spark_lakehouse"),
        ("silver.purchases", "stream batch 2 of spark_lakehouse"),
    ]


def test_a_table_behind_a_source_tells_of_the_events(stream, compared):
    """Products are counted by the 5-minute table, and their events lie in silver."""
    then = stream.batch(*BEFORE)
    stream.batch(click("cem", "11:00", "pan", event_id="pan"), click("cem", "11:00", "pan"), click("cem", "35:00"))
    found = compared("product_daily", then)
    assert [row.key["product_id"] for row in found.changed] == ["pan"]
    assert found.changed_columns.keys() >= {"clicks", "ctr", "events", "fingerprint"}
    assert {event[0] for event in came(found)} >= {"pan"}
    assert found.events.height == 2
    assert ("gold.product_metrics_5m", "stream batch 2 of spark_lakehouse") in causes(found)


def test_a_product_version_that_was_learnt_late(stream, compared):
    then = stream.batch(*BEFORE)
    stream.batch(product("mug", "09:00", "garden"))
    found = compared("product_daily", then)
    assert found.changed == (
        RowChange({"event_date": DAY, "product_id": "mug"}, {"category": "kitchen"}, {"category": "garden"}),
    )
    assert found.events.select("topic", "key", "change").rows() == [("shop.products", "mug", "new")]
    assert ("silver.products", "stream batch 2 of spark_lakehouse") in causes(found)


def test_an_event_of_the_day_before_that_takes_a_session_over(stream, compared):
    then = stream.batch(click("ana", "00:10"), click("bo", "10:00"))
    stream.batch(
        click("ana", MORNING - 10 * MINUTE, event_id="bridge"),
        click("ana", MORNING - 40 * MINUTE, event_id="in no session of the day"),
    )
    found = compared("session_funnel", then)
    (day,) = found.changed
    assert (day.then["sessions"], day.now["sessions"]) == (2, 1)
    assert [event for event, *_ in came(found)] == ["bridge"]


def test_a_purchase_after_midnight_counts_for_the_day_on_which_its_session_began(stream, compared):
    then = stream.batch(click("ana", "23:50"), click("ana", "24:15"))
    stream.batch(purchase("ana", "24:05", cents=900, event_id="after midnight"))
    found = compared("session_funnel", then)
    assert found.changed[0].now["revenue_cents"] == 900
    assert [event for event, *_ in came(found)] == ["after midnight"]
    assert causes(found) == [("silver.purchases", "stream batch 2 of spark_lakehouse")]


def test_corrections_and_rebuilds_are_named(stream, lake, compared):
    then = stream.batch(*BEFORE)
    stream.batch(click("ana", "10:00"), correction="reenriched")
    name, note = "gold.product_metrics_5m", Asked(job="rebuild", scope="rebuild 2024-03-01 to 2024-03-01")
    rows = expected(name, Events.of([click("ana", "10:00")]))
    replace_days(lake, name, [DAY], to_arrow(name, rows), Once.new("test"), note)
    assert causes(compared("product_daily", then)) == [
        (name, "correction (reenriched) in stream batch 2 of spark_lakehouse"),
        (name, "rebuild 2024-03-01 to 2024-03-01"),
    ]


def test_events_that_silver_lost_are_gone(stream, lake, compared):
    then = stream.batch(*BEFORE)
    open_table(lake, "silver.clicks").delete("region = 'süd'")
    found = compared("region_daily", then)
    assert found.removed["region"].to_list() == ["süd"]
    assert [change for _, change, _ in came(found)] == ["gone"]


def test_what_only_puts_files_together_is_no_cause(stream, lake, compared):
    stream.batch(*BEFORE)
    then = stream.batch(click("cem", "10:00"))
    done = compact(lake, "silver.clicks")
    assert done.files_before > done.files_after
    found = compared("region_daily", then)
    assert found.equal
    assert found.commits == ()


def test_other_days_are_no_cause(stream, compared):
    then = stream.batch(*BEFORE)
    stream.batch(click("ana", "58:00"), click("ana", "58:10"))
    found = compared("region_daily", then)
    assert found.equal
    assert found.commits == ()


def test_a_time_that_cannot_be_read(stream, lake):
    stream.batch(*BEFORE)
    with pytest.raises(VersionMissingError, match="that time is yet to come"):
        look_at(lake, "region_daily", DAY, datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(
        UnknownTableError, match=r"known tables: marts\.product_daily, marts\.region_daily, marts\.sess"
    ):
        look_at(lake, "weekly", DAY)


def test_the_command(stream, lake):
    then = stream.batch(*BEFORE)
    for number in range(3):
        stream.batch(click("ana", "10:05", region="west", event_id=f"late {number}"))
    shell = Shell(lake)
    words = ("mart", "compare", "region_daily", "--day", "2024-03-01", "--as-of", then.isoformat())
    shown = shell(*words)
    assert "1 row added, 0 removed, 0 changed (2 then, 3 now)" in shown
    assert "stream batch of spark_lakehouse, 3 times" in shown
    assert "3 events new in silver of the rows that differ: 3 very_late" in shown
    assert "2 more" in shell(*words, "--limit", "1")
    told = json.loads(shell(*words, "--json"))
    assert told["rows"] == {"then": 2, "now": 3}
    assert [row["region"] for row in told["added"]] == ["west"]
    assert told["lateness"] == {"new": {"very_late": 3}}
    assert len(told["commits"]) == len(told["events"]) == 3
    assert "is no ISO 8601 time" in shell(*words[:-1], "yesterday", fails=2)
    assert "that time is yet to come" in shell(*words[:-1], "2999-01-01", fails=1)
