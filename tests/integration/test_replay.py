"""A replay beside the live Spark stream: gold and silver are damaged, found, repaired while events arrive and processes
are killed at each step, and brought back by undo.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from jobs.rust_engines import publish_day
from jobs.streaming.spark.progress import journal_path
from lakehouse.compare import COMPARED, compare
from lakehouse.compare.reference import Reference
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, create_table, open_table, replace_days, scan
from lakehouse.delta.write import to_arrow
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import end_offsets
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.replay import report, store
from lakehouse.replay.offsets import Source, missing_from_bronze
from lakehouse.replay.request import MARTS, Clock, Engine, Request, RequestError
from lakehouse.replay.store import Replay, ReplayError, State
from lakehouse.replay.words import describe
from lakehouse.runtime.wanted import connection
from lakehouse.settings import ROOT, Settings
from tests.integration.spark_lake import Driver, ingest_transactions, profile, purchase, send, version
from tests.lake import stored
from tests.topics import remove_records
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2400)]

DAY = date(2026, 3, 2)
NEXT = DAY + timedelta(days=1)
WINDOWS = "gold.product_metrics_5m"
REGIONS = "gold.region_revenue_daily"
MART = "marts.region_daily"
PURCHASES = "silver.purchases"
TABLES = [name for name in COMPARED if name in JOBS[SPARK_INGEST].writes]
Rows = Callable[[pl.DataFrame], pl.DataFrame]


def day_request(
    first: date = DAY, last: date = DAY, engine: Engine = Engine.SPARK, targets: Sequence[str] = ()
) -> Request:
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    return Request.checked(start, end, datetime.now(UTC), targets=targets, engine=engine)


def damage(settings: Settings, name: str, change: Rows) -> None:
    """Replaces a day's rows behind their owner's back."""
    rows = scan(settings, name, dates=(DAY, DAY)).collect()
    replace_days(settings, name, [DAY], to_arrow(name, change(rows)), Once.new("damage"))


def begin(settings: Settings, step: str, number: int) -> subprocess.Popen[bytes]:
    return process_of(settings, "jobs.batch.replay", step, str(number))


def process_of(settings: Settings, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, start_new_session=True
    )


def carry_out(settings: Settings, step: str, number: int) -> None:
    assert begin(settings, step, number).wait(900) == 0, f"{step} of replay {number} failed"


def approve_and_run(settings: Settings, request: Request) -> Replay:
    """The whole replay, as an operator starts it."""
    replay = store.plan_replay(settings, request, "test")
    environment = os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace}
    subprocess.run(
        [sys.executable, "-m", "cli", "replay", "run", str(replay.id)], cwd=ROOT, env=environment, check=True
    )
    return store.get(settings, replay.id)


def differing(replay: Replay) -> set[str]:
    return {d["table"] for d in (replay.diff or {})["tables"] if d["added"] or d["removed"] or d["changed"]}


def rows_of_day(settings: Settings, name: str) -> pl.DataFrame:
    return stored(settings, name, DAY).select(table(name).compared_columns)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def kill_before_it_is_noted(settings: Settings, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    """Kills what `start` starts in the moment in which all is done but PostgreSQL does not know."""
    with connection(settings) as database:
        database.execute("LOCK TABLE replay.replays IN SHARE MODE")
        process = start()
        until(lambda: database.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone(), 120, "nothing to note")
        kill(process)


def swapped_steps(settings: Settings, number: int) -> list[str]:
    """Which tables of a change set its owner's journal says are done."""
    journal = journal_path(settings, "replays")
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    return [line["step"] for line in lines if line["batch_id"] == number and line["event"] == "step"]


@pytest.fixture(scope="module")
def tenant(stack: "Stack", seed: int) -> Settings:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "replayed"})
    create_topics(settings)
    create_table(settings, "bronze.transactions")
    send(settings, [version("mug", -600, 100), profile("kim", 0, "A"), ("shop.clicks", "kim", b"{")])
    # The first purchase of the day, which tests lose, is valid and nothing that PostgreSQL could hold.
    first = {"event_id": "a", "event_time": f"{DAY}T00:00:00Z", "region": "no\x00rth"}
    topic, key, value = purchase("kim", 0)
    send(settings, [(topic, key, json.dumps(json.loads(value or b"") | first).encode())])
    for day in (DAY, NEXT):
        send_day(settings, ShopDay(day, 1200, 120, seed, late=0.05, very_late=0.02, duplicates=0.05, transactions=300))
    return settings


def test_a_replay_killed_at_each_step_repairs_what_was_damaged_and_undo_brings_it_back(
    tenant: Settings, seed: int
) -> None:
    with Driver(tenant) as driver:
        driver.drain()
        ingest_transactions(tenant, Reference.read(tenant, compare(tenant, ["gold.user_totals"]).offsets))
        damage(tenant, WINDOWS, lambda rows: rows.with_columns(revenue_cents=pl.col("revenue_cents") + 1))
        damage(tenant, PURCHASES, lambda rows: rows.sort("event_time", "event_id")[1:])
        damaged = scan(tenant, WINDOWS, dates=(DAY, DAY)).collect()
        lost = scan(tenant, PURCHASES, dates=(DAY, DAY)).collect().height

        days = ("--from", f"{DAY}T00:00Z", "--to", f"{NEXT}T00:00Z")
        store.newest_first(tenant)  # makes the tables that are locked
        kill_before_it_is_noted(tenant, lambda: process_of(tenant, "cli", "replay", "plan", *days))
        assert store.newest_first(tenant) == []
        replay = store.plan_replay(tenant, day_request(), "test")
        assert set(replay.plan.event_days) == {DAY}
        assert not replay.plan.beyond_kafka
        with pytest.raises(ReplayError, match=f"replay {replay.id} "):
            store.plan_replay(tenant, day_request(DAY, NEXT), "test")
        store.approve(tenant, replay.id, "test")

        # Events of the day that is replayed arrive while its rows are recomputed.
        send_day(tenant, ShopDay(DAY, 300, 60, seed + 1, late=0.2))
        recomputation = begin(tenant, "recompute", replay.id)
        until(lambda: _staged(tenant, replay.id), 300, "no table staged")
        kill(recomputation)
        carry_out(tenant, "recompute", replay.id)
        kill_before_it_is_noted(tenant, lambda: begin(tenant, "diff", replay.id))
        assert store.get(tenant, replay.id).state is State.RECOMPUTED
        carry_out(tenant, "diff", replay.id)
        found = {d["table"]: d for d in (store.get(tenant, replay.id).diff or {})["tables"]}
        # A window to which an event has come meanwhile was refreshed by the stream.
        assert damaged.height / 2 < found[WINDOWS]["changed"] <= damaged.height
        assert found[WINDOWS]["columns"] == {"revenue_cents": found[WINDOWS]["changed"]}
        assert (found[PURCHASES]["added"], found[PURCHASES]["removed"]) == (1, 0)
        assert found[PURCHASES]["examples"][0]["after"]["region"] == "no\\u0000rth"
        # What the stream has since computed from the damaged silver may differ too.
        assert {WINDOWS, PURCHASES} <= differing(store.get(tenant, replay.id))
        assert WINDOWS in report.path(tenant, replay.id).read_text(encoding="utf-8")

        waiting = begin(tenant, "swap", replay.id)
        until(lambda: bool(swapped_steps(tenant, replay.id)), 300, "no table swapped in", every=0.01)
        driver.kill()
        kill(waiting)
    with Driver(tenant) as driver:
        carry_out(tenant, "swap", replay.id)
        create_table(tenant, "ops.replays")
        recording = begin(tenant, "record", replay.id)
        until(lambda: open_table(tenant, "ops.replays").version() > 0, 60, "nothing recorded", every=0.01)
        kill(recording)
        carry_out(tenant, "record", replay.id)
        driver.drain()
        comparison = compare(tenant, TABLES)
        assert [t for t in comparison.tables if not t.equal] == []
        recorded = scan(tenant, "ops.replays").collect()
        assert sorted(recorded["table"]) == sorted({PURCHASES, *replay.plan.request.targets})
        assert not _staged(tenant, replay.id)
        right = rows_of_day(tenant, REGIONS)

        carry_out(tenant, "undo", replay.id)
        driver.drain()
        before = damaged.select("product_id", "window_start", "revenue_cents", "events")
        after = scan(tenant, WINDOWS, dates=(DAY, DAY)).select(before.columns).collect()
        # What arrived since has been refreshed into the rows that it belongs to; the others are as they were.
        untouched = after.join(before, ["product_id", "window_start", "events"], "inner", suffix="_before")
        assert untouched.height > damaged.height / 2
        assert untouched["revenue_cents"].equals(untouched["revenue_cents_before"])
        assert store.get(tenant, replay.id).state is State.UNDONE

        # Repaired once more, without Spark.
        damage(tenant, REGIONS, lambda rows: rows.with_columns(revenue_cents=pl.col("revenue_cents") + 1))
        by_sql = approve_and_run(tenant, day_request(engine=Engine.DATAFUSION, targets=[REGIONS]))
        assert {PURCHASES, REGIONS} <= differing(by_sql)
        assert rows_of_day(tenant, REGIONS).equals(right)
        assert scan(tenant, PURCHASES, dates=(DAY, DAY)).collect().height > lost
    for mart in MARTS:
        for day in (DAY, NEXT):  # a session of the day may be one with the next day's first
            publish_day(tenant, mart, day)


def test_a_cancelled_replay_ends_its_process_and_leaves_the_tables(tenant: Settings) -> None:
    before = {name: open_table(tenant, name).version() for name in TABLES}
    replay = store.plan_replay(tenant, day_request(NEXT, NEXT), "test")
    store.approve(tenant, replay.id, "test")
    recomputation = begin(tenant, "recompute", replay.id)
    until(lambda: _staged(tenant, replay.id), 300, "no table staged")
    store.cancel(tenant, replay.id)
    assert recomputation.wait(30) != 0
    until(lambda: not _processes_of(recomputation.pid), 30, "Spark lives on")
    assert {name: open_table(tenant, name).version() for name in TABLES} == before
    with pytest.raises(ReplayError, match="cancelled"):
        store.approve(tenant, replay.id, "test")


def test_marts_are_replayed_through_a_kill_and_an_undo_leaves_what_was_published_since(tenant: Settings) -> None:
    right = rows_of_day(tenant, MART)
    damage(tenant, MART, lambda rows: rows[1:])
    damaged = rows_of_day(tenant, MART)
    replay = store.plan_replay(tenant, day_request(engine=Engine.DATAFUSION, targets=MARTS), "test")
    store.approve(tenant, replay.id, "test")
    carry_out(tenant, "recompute", replay.id)
    carry_out(tenant, "diff", replay.id)
    first = next(iter(MARTS))
    before = open_table(tenant, first).version()
    publishing = begin(tenant, "swap", replay.id)
    until(lambda: open_table(tenant, first).version() > before, 300, "no mart published", every=0.01)
    kill(publishing)
    # The command goes on where the killed process was.
    assert process_of(tenant, "cli", "replay", "run", str(replay.id)).wait(900) == 0
    assert differing(store.get(tenant, replay.id)) == {MART}
    assert rows_of_day(tenant, MART).equals(right)
    publish_day(tenant, "marts.product_daily", DAY)
    published = open_table(tenant, "marts.product_daily").version()
    carry_out(tenant, "undo", replay.id)
    assert rows_of_day(tenant, MART).equals(damaged)
    assert open_table(tenant, "marts.product_daily").version() == published
    assert (scan(tenant, "ops.replays").filter(replay=replay.id).collect()["engine"] == "datafusion").all()


def test_an_undo_past_what_is_kept_is_refused_and_leaves_the_rows(tenant: Settings) -> None:
    damage(tenant, MART, lambda rows: rows[1:])
    days = (datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC), datetime(NEXT.year, NEXT.month, NEXT.day, tzinfo=UTC))
    request = Request.checked(*days, datetime.now(UTC), targets=[MART], engine=Engine.DATAFUSION)
    replay = approve_and_run(tenant, request)
    assert differing(replay) == {MART}
    replayed, mart = rows_of_day(tenant, MART), open_table(tenant, MART)
    mart.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    undoing = subprocess.run(
        [sys.executable, "-m", "cli", "replay", "undo", str(replay.id)], cwd=ROOT, text=True, capture_output=True,
        env=os.environ | {"LAKEHOUSE_NAMESPACE": tenant.namespace}, check=False,
    )  # fmt: skip
    assert undoing.returncode == 1
    assert f"the rows of {MART} before replay {replay.id} are no longer kept" in undoing.stderr
    assert store.get(tenant, replay.id).state is State.DONE
    assert rows_of_day(tenant, MART).equals(replayed)
    assert open_table(tenant, MART).version() == mart.version()


def test_a_time_without_events_is_refused_with_where_there_are_some(tenant: Settings) -> None:
    with pytest.raises(RequestError, match=r"no event lies from 2020-01-01T00:00:00Z .* from 2026-03-0"):
        store.plan_replay(tenant, day_request(date(2020, 1, 1), date(2020, 1, 1)), "test")


def test_a_plan_by_arrival_takes_the_events_that_came_then(tenant: Settings) -> None:
    now = datetime.now(UTC)
    request = Request.checked(
        now - timedelta(hours=2), now, now, Clock.ARRIVAL, ["shop.purchases"], ["gold.user_totals"]
    )
    replay = store.plan_replay(tenant, request, "test")
    store.cancel(tenant, replay.id)
    assert replay.plan.events == {"shop.purchases": scan(tenant, "bronze.purchases").collect().height}
    assert [(t.table, t.days) for t in replay.plan.touched] == [("gold.user_totals", ())]
    assert {p: o.end for p, o in replay.plan.offsets["shop.purchases"].items()}.keys() == set(range(6))


def test_marts_of_silver_that_differs_from_bronze_are_not_swapped_in(tenant: Settings) -> None:
    damage(tenant, PURCHASES, lambda rows: rows.sort("event_time", "event_id")[1:])
    before = open_table(tenant, MART).version()
    replay = store.plan_replay(tenant, day_request(engine=Engine.POLARS), "test")
    store.approve(tenant, replay.id, "test")
    carry_out(tenant, "recompute", replay.id)
    assert begin(tenant, "diff", replay.id).wait(100) == 1
    failed = store.get(tenant, replay.id)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert failed.error.startswith(f"{PURCHASES} differ from bronze")
    assert open_table(tenant, MART).version() == before
    assert not _staged(tenant, replay.id)


def test_what_retention_has_removed_is_planned_from_bronze_and_what_bronze_lacks_is_noticed(tenant: Settings) -> None:
    request = day_request()
    plan = store.plan_replay(tenant, request, "test")
    store.cancel(tenant, plan.id)
    assert not plan.plan.beyond_kafka
    topic, since = "shop.purchases", request.start - timedelta(days=1)
    offsets = plan.plan.offsets[topic]
    ends = {p: found.end - 1 for p, found in offsets.items()}
    assert missing_from_bronze(tenant, topic, offsets, ends, since) == {}
    lost = scan(tenant, "bronze.purchases").select("partition", "offset").sort("partition", "offset").tail(1).collect()
    partition, offset = lost.row(0)
    open_table(tenant, "bronze.purchases").delete(f'"partition" = {partition} AND "offset" = {offset}')
    assert missing_from_bronze(tenant, topic, offsets, ends, since) == {partition: [offset]}

    remove_records(tenant, topic, end_offsets(tenant, topic))
    beyond = store.plan_replay(tenant, request, "test")
    store.cancel(tenant, beyond.id)
    assert beyond.plan.beyond_kafka
    assert {found.source for found in beyond.plan.offsets[topic].values()} == {Source.BRONZE}
    assert f"of {topic} at version {open_table(tenant, 'bronze.purchases').version()}" in describe(beyond)
    assert missing_from_bronze(tenant, topic, beyond.plan.offsets[topic], ends, since) == {}


def _staged(settings: Settings, number: int) -> bool:
    from lakehouse.object_store import build_client
    from lakehouse.replay.staging import prefix

    layer = f"{settings.namespace}/staging/{prefix(number)}"
    return any(True for _ in build_client(settings).list_objects(settings.bucket, layer, recursive=True))


def _processes_of(group: int) -> list[int]:
    found = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
