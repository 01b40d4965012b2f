"""Daily marts: both engines equal the reference, one commit per day, repeatable, from pinned sources."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import polars as pl
import pytest
from minio.deleteobjects import DeleteObject

from jobs.batch.replay.swap import newer_or_done, publish
from jobs.rust_engines import MARTS, EnginesDisagreeError, Pinned, SupersededError, publish_day
from jobs.rust_engines import publish as publishing
from jobs.rust_engines.publish import estimate_days
from jobs.rust_engines.sources import Sources
from lakehouse.contracts.events import MAX_CENTS
from lakehouse.contracts.owners import BACKFILL
from lakehouse.contracts.tables import UnknownTableError
from lakehouse.delta import Once, TableMissingError, VersionMissingError, create_table, open_table, replace_days
from lakehouse.delta.describe import commits, published_days
from lakehouse.delta.notes import Publication
from lakehouse.delta.restore import restore
from lakehouse.delta.write import to_arrow
from lakehouse.explain.changes import reason
from lakehouse.object_store import build_client
from lakehouse.replay.change_set import Part
from lakehouse.replay.staging import Staging
from lakehouse.replay.store import Kind, Replay
from lakehouse.semantics import Event, Events
from lakehouse.semantics.windows import DAY
from quality import run_quality
from tests.clocks import Tomorrow
from tests.integration.tables.log_files import backdate
from tests.lake import expected, fill, stored
from tests.strategies import MORNING, click, positioned, product, purchase
from tests.waiting import until

SOURCES = ("silver.clicks", "silver.purchases", "silver.products", "silver.sessions", "gold.product_metrics_5m")
DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(3)]
FIRST, SECOND, _ = DAYS

AROUND_MIDNIGHT = [
    product("mug", "08:00", "morning"),
    product("mug", MORNING + DAY - 1, "last millisecond"),
    product("mug", MORNING + DAY, "next day"),
    click("ana", "00:00"),
    click("ana", MORNING + DAY - 1, None),
    click("ana", MORNING + DAY),
    purchase("ana", MORNING + DAY - 1),
]


def shop(seed: int, size: int = 400) -> Events:
    """Random events of three days that few users, products and regions share; products change over time."""
    draw = random.Random(seed)
    products, regions = ["mug", "pan", "pot", "käse"], ["north", "süd", ""]
    events: list[Event] = [
        product(draw.choice(products), MORNING + draw.randrange(-DAY, 3 * DAY), draw.choice(["a", "b", ""]))
        for _ in range(12)
    ]
    for _ in range(size):
        user, moment, region = draw.choice("abcdefgh"), MORNING + draw.randrange(3 * DAY), draw.choice(regions)
        if draw.random() < 0.2:
            cents = draw.choice([0, 1, MAX_CENTS])
            events.append(purchase(user, moment, draw.choice(products), cents=cents, region=region))
        else:
            action = draw.choice(["impression", "click"])
            events.append(click(user, moment, draw.choice([None, *products]), action=action, region=region))
    return Events.of(positioned(events))


@pytest.mark.parametrize("engine", ["polars", "datafusion"])
@pytest.mark.parametrize("mart", MARTS)
def test_published_days_equal_the_reference(lake, seed, mart, engine):
    events = shop(seed)
    fill(lake, events, *SOURCES)
    published = [publish_day(lake, mart, day, engine) for day in DAYS]
    assert stored(lake, mart).equals(expected(mart, events))
    assert sum(p.rows for p in published) == stored(lake, mart).height > 0


def test_attributes_are_those_of_the_days_last_millisecond(lake):
    events = Events.of(positioned(AROUND_MIDNIGHT))
    fill(lake, events, *SOURCES)
    for day in (FIRST, SECOND):
        publish_day(lake, "product_daily", day)
    assert stored(lake, "marts.product_daily")["category"].to_list() == ["last millisecond", "next day"]
    assert stored(lake, "marts.product_daily").equals(expected("marts.product_daily", events))


def test_sums_beyond_64_bits_are_exact(lake):
    """A fingerprint has up to 38 digits; a few 60-bit hashes overflow a 64-bit sum."""
    events = Events.of(
        e._replace(record_hash=(1 << 60) - 1 - n) for n, e in enumerate(click("ana", "10:00") for _ in range(40))
    )
    fill(lake, events, *SOURCES)
    for mart in MARTS:
        publish_day(lake, mart, FIRST)
        assert stored(lake, mart)["fingerprint"].to_list() == [40 * ((1 << 60) - 1) - sum(range(40))]


@pytest.mark.parametrize("mart", MARTS)
def test_publishing_again_changes_no_row_and_no_other_day(lake, seed, mart):
    fill(lake, shop(seed), *SOURCES)
    for day in DAYS:
        publish_day(lake, mart, day)
    before = stored(lake, mart)
    again = publish_day(lake, mart, SECOND, "datafusion")
    assert again.version == 4
    assert stored(lake, mart).equals(before)


def test_a_day_s_estimate_is_of_its_rows_by_the_rate_of_the_days_that_were_built(lake, seed):
    fill(lake, shop(seed), *SOURCES)
    silver = pl.concat(stored(lake, f"silver.{name}").select("event_date") for name in ("clicks", "purchases"))
    rows = dict(silver["event_date"].value_counts().iter_rows())
    first = publish_day(lake, "region_daily", FIRST)
    assert (first.estimate.rows, first.estimate.seconds) == (rows[FIRST], None)
    second = estimate_days(lake, "region_daily", [SECOND])[SECOND]
    assert second.rows == rows[SECOND]
    rate = sum(first.seconds.values()) / rows[FIRST]
    assert second.seconds == pytest.approx(rate * rows[SECOND], rel=1e-3)
    assert publish_day(lake, "region_daily", SECOND).estimate == second


def test_a_day_whose_rows_are_gone_is_emptied(lake):
    fill(lake, Events.of([click("ana", "10:00"), click("ana", "34:00")]), *SOURCES)
    for day in (FIRST, SECOND):
        publish_day(lake, "region_daily", day)
    open_table(lake, "silver.clicks").delete(f"event_date = '{FIRST}'")
    assert publish_day(lake, "region_daily", FIRST).rows == 0
    assert stored(lake, "marts.region_daily")["event_date"].to_list() == [SECOND]


def test_the_commit_names_its_day_engine_and_source_versions(lake):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    published = publish_day(lake, "product_daily", FIRST, "datafusion")
    assert published.sources == {"gold.product_metrics_5m": 1, "silver.products": 1}
    assert commits(open_table(lake, "marts.product_daily"), 1)[0].note == Publication(
        job="backfill_marts",
        day=FIRST,
        engine="datafusion",
        read_versions=published.sources,
        read_tables={name: open_table(lake, name).metadata().id for name in published.sources},
        read_rows=1,
        seconds=round(sum(published.seconds.values()), 6),
    )


def test_sources_are_pinned_when_the_computation_begins(lake):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    pinned = Sources.pin(lake, MARTS["marts.region_daily"].reads)
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    for engine in ("polars", "datafusion"):
        assert MARTS["marts.region_daily"].compute(engine, pinned, FIRST)["clicks"].to_list() == [1]


def test_as_of_computes_from_the_tables_of_that_time(lake):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    then = commits(open_table(lake, "gold.product_metrics_5m"), 1)[0].at
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    publish_day(lake, "region_daily", FIRST, as_of=then)
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [1]


def test_what_is_published_as_of_a_time_says_so(lake):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    then = commits(open_table(lake, "silver.sessions"), 1)[0].at + timedelta(seconds=1)
    until(lambda: datetime.now(UTC) > then, 5, "the time has come")
    publish_day(lake, "region_daily", FIRST, as_of=then)
    (newest,) = commits(open_table(lake, "marts.region_daily"), 1)
    assert isinstance(newest.note, Publication)
    assert newest.note.as_of == then
    assert reason(newest) == f"mart of 2024-03-01 published by polars from the tables as of {then.isoformat()}"


@pytest.mark.parametrize("mart", MARTS)
def test_as_of_a_time_when_the_day_was_empty(lake, mart):
    for name in SOURCES:
        create_table(lake, name)
    then = datetime.now(UTC)
    fill(lake, Events.of([click("ana", "10:00"), purchase("ana", "10:00")]), *SOURCES)
    assert publish_day(lake, mart, FIRST).rows == 1
    assert publish_day(lake, mart, FIRST, as_of=then).rows == 0
    assert stored(lake, mart).is_empty()


@pytest.mark.parametrize(
    ("as_of", "says"),
    [
        (timedelta(minutes=1), "that time is yet to come"),
        (timedelta(days=-10), "the table was created on 2"),
        (timedelta(days=-8, hours=-1), "it was replaced on 2.*, and history is kept for 7 days"),
    ],
    ids=["in_the_future", "before_the_first_version", "past_what_is_kept"],
)
def test_as_of_a_time_that_cannot_be_read_publishes_nothing(lake, as_of, says):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    for name in SOURCES:
        backdate(lake, name, {0: timedelta(days=9), 1: timedelta(days=8)})
    with pytest.raises(VersionMissingError, match=says):
        publish_day(lake, "session_funnel", FIRST, as_of=datetime.now(UTC) + as_of)
    with pytest.raises(TableMissingError):
        open_table(lake, "marts.session_funnel")


def test_a_check_as_of_a_time_is_of_the_versions_of_that_time(lake, tmp_path):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    then = datetime.now(UTC)
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    result = run_quality(lake.model_copy(update={"home": tmp_path}), ["silver.clicks"], FIRST, as_of=then)
    assert [(checked.version, checked.rows_checked) for checked in result.tables] == [(1, 1)]


def test_a_session_past_midnight_has_its_purchases_of_the_next_day(lake):
    session = [click("ana", "23:50"), click("ana", "24:10"), purchase("ana", "24:05"), purchase("ana", "24:11")]
    fill(lake, Events.of(session), *SOURCES)
    for day in (FIRST, SECOND):
        publish_day(lake, "session_funnel", day)
    assert stored(lake, "marts.session_funnel").select("event_date", "sessions_with_purchase", "events").rows() == [
        (FIRST, 1, 3)
    ]


def test_what_is_committed_after_the_check_is_not_published(lake, tmp_path):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    checked = pinned_by_a_check(lake.model_copy(update={"home": tmp_path}), "silver.clicks", "silver.purchases")
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    published = publish_day(lake, "region_daily", FIRST, as_of=checked)
    assert published.sources == checked.versions == {"silver.clicks": 1, "silver.purchases": 1}
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [1]


def test_an_earlier_check_does_not_displace_what_was_published_from_newer_tables(lake, tmp_path):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    checked = pinned_by_a_check(lake.model_copy(update={"home": tmp_path}), "silver.clicks", "silver.purchases")
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    publish_day(lake, "region_daily", FIRST)
    with pytest.raises(SupersededError, match=r"version 1, of 2.*Z, holds it from newer tables \(silver\.clicks 2"):
        publish_day(lake, "region_daily", FIRST, as_of=checked)
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [2]
    assert open_table(lake, "marts.region_daily").version() == 1


def test_a_clock_that_ran_ahead_keeps_nobody_from_publishing(lake, monkeypatch):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    with monkeypatch.context() as tomorrow:
        tomorrow.setattr(publishing, "datetime", Tomorrow, raising=False)
        publish_day(lake, "region_daily", FIRST)
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    published = publish_day(lake, "region_daily", FIRST)
    assert (published.version, published.rows) == (2, 1)
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [2]


def test_neither_of_two_sources_that_is_older_keeps_a_publication_out(lake):
    """Only what is at least as new in all of its sources is newer."""
    fill(lake, Events.of([click("ana", "10:00"), purchase("ana", "10:00")]), *SOURCES)
    fill(lake, Events.of([click("bo", "11:00"), purchase("bo", "11:00")]), *SOURCES)
    newest = {"silver.clicks": 2, "silver.purchases": 2}
    publish_day(lake, "region_daily", FIRST, as_of=Pinned(newest | {"silver.clicks": 1}))
    publish_day(lake, "region_daily", FIRST, as_of=Pinned(newest | {"silver.purchases": 1}))
    assert stored(lake, "marts.region_daily").select("clicks", "purchases").rows() == [(2, 1)]
    publish_day(lake, "region_daily", FIRST, as_of=Pinned(newest))
    with pytest.raises(SupersededError):
        publish_day(lake, "region_daily", FIRST, as_of=Pinned(newest | {"silver.clicks": 1}))


def test_what_somebody_asks_for_as_of_a_time_displaces_what_is_newer(lake):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    older = {"silver.clicks": 1, "silver.purchases": 1}
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    publish_day(lake, "region_daily", FIRST)
    publish_day(lake, "region_daily", FIRST, as_of=Pinned(older, datetime.now(UTC)))
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [1]
    publish_day(lake, "region_daily", FIRST)
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [2]


def test_versions_of_a_source_that_was_made_anew_are_not_compared(lake):
    for _ in range(3):
        fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    publish_day(lake, "region_daily", FIRST)
    client = build_client(lake)
    gone = client.list_objects(lake.bucket, f"{lake.namespace}/silver/clicks/", recursive=True)
    assert list(client.remove_objects(lake.bucket, [DeleteObject(found.object_name or "") for found in gone])) == []
    fill(lake, Events.of([click("bo", "11:00")]), "silver.clicks")
    assert publish_day(lake, "region_daily", FIRST).sources["silver.clicks"] == 1
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [1]


def test_what_a_restore_took_back_keeps_no_publication_out(lake):
    for user in ("ana", "bo"):
        fill(lake, Events.of([click(user, "10:00")]), *SOURCES)
        publish_day(lake, "region_daily", FIRST)
    restore(lake, "marts.region_daily", version=0)
    older = Pinned({"silver.clicks": 1, "silver.purchases": 1})
    publish_day(lake, "region_daily", FIRST, as_of=older)
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [1]
    restore(lake, "marts.region_daily", version=2)
    (note,) = published_days(open_table(lake, "marts.region_daily")).values()
    assert note.read_versions["silver.clicks"] == 2


def test_days_that_another_release_has_published_are_published_again(lake):
    """It noted milliseconds where the version of the last publication stands now."""
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    mart = "marts.region_daily"
    once = Once(f"{lake.prefixed(BACKFILL)}/{mart}/{FIRST}", 1_795_981_104_516)
    replace_days(lake, mart, [FIRST], to_arrow(mart, expected(mart, Events.of([click("ana", "10:00")]))), once)
    publish_day(lake, "region_daily", FIRST)
    assert publish_day(lake, "region_daily", FIRST).version == 3
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [1]


def test_a_replay_is_told_from_one_that_another_postgresql_gave_its_number(lake):
    """A swap that was killed finds its own days; one that counted from 1 again is another."""
    mart, events = "marts.region_daily", Events.of([click("ana", "10:00")])
    fill(lake, events, *SOURCES)
    staging = Staging(lake, 1)
    staging.create(mart)
    staging.append(mart, expected(mart, events))
    part = Part(mart, staging.path(mart), staging.version(mart), (FIRST,))
    sources = Sources.pin(lake, MARTS[mart].reads)
    read = {FIRST: (sources.versions, sources.ids)}

    def swap(requested_at: datetime) -> int:
        plan = SimpleNamespace(request=SimpleNamespace(engine="polars"))
        replay = cast(Replay, SimpleNamespace(id=1, requested_at=requested_at, plan=plan))
        return publish(lake, replay, Kind.SWAP, part, read, newer_or_done)

    now = datetime.now(UTC)
    assert [swap(now), swap(now), swap(now + timedelta(days=1))] == [1, 1, 2]


def test_publishers_of_one_day_at_the_same_time_leave_the_newest(lake):
    for user in "abcd":
        fill(lake, Events.of([click(user, "10:00")]), *SOURCES)
    create_table(lake, "marts.region_daily")

    def publish(version: int) -> None:
        with suppress(SupersededError):
            publish_day(lake, "region_daily", FIRST, as_of=Pinned({"silver.clicks": version, "silver.purchases": 4}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish, (4, 2, 3, 1)))
    assert stored(lake, "marts.region_daily")["clicks"].to_list() == [4]


def test_a_source_that_was_not_checked_is_not_read(lake):
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    with pytest.raises(ValueError, match=r"no version of silver\.purchases was pinned, only of silver\.clicks"):
        publish_day(lake, "region_daily", FIRST, as_of=Pinned({"silver.clicks": 1}))


def pinned_by_a_check(lake, *names):
    result = run_quality(lake, names)
    return Pinned({checked.table: checked.version for checked in result.tables})


def test_engines_that_disagree_publish_nothing(lake, monkeypatch):
    """One engine is made to see one click more."""
    fill(lake, Events.of([click("ana", "10:00")]), *SOURCES)
    honest = MARTS["marts.region_daily"]
    wrong = replace(honest, by_polars=lambda *a: honest.by_polars(*a).with_columns(pl.col("clicks") + 1))
    monkeypatch.setitem(publishing.MARTS, "marts.region_daily", wrong)
    with pytest.raises(EnginesDisagreeError, match="1 rows by Polars alone, 1 by DataFusion alone"):
        publish_day(lake, "region_daily", FIRST)
    with pytest.raises(TableMissingError):
        open_table(lake, "marts.region_daily")


def test_a_mart_that_does_not_exist(lake):
    with pytest.raises(UnknownTableError, match=r"unknown table 'marts\.nope'"):
        publish_day(lake, "nope", FIRST)


def test_a_source_that_nobody_wrote(lake):
    with pytest.raises(TableMissingError, match=r"gold\.product_metrics_5m has not been written yet"):
        publish_day(lake, "product_daily", FIRST)
