"""On Flink's ingest and the follower, in an installation that has changed over from the Spark driver: what everybody
asks of the tables is answered as on that, and what operators do to them comes right, while events arrive."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest

from jobs.rust_engines import publish_day
from lakehouse.compare import COMPARED, LIVE, SAID, compare
from lakehouse.contracts.events import PURCHASES
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.contracts.tables import BRONZE, DEAD_LETTERS, checked_tables, table
from lakehouse.delta import Once, append, open_table, replace_days, scan
from lakehouse.delta.write import to_arrow
from lakehouse.drained import wait_until_drained
from lakehouse.generator.traffic import ShopDay
from lakehouse.produce import send_day
from lakehouse.replay.request import MARTS
from lakehouse.runtime.reconcile import start, stop
from lakehouse.settings import ROOT, Settings
from quality.checkpoint import run_quality
from tests.command import lakehouse
from tests.core import spark_installation
from tests.faults.killing import PATIENCE_SECONDS, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1800)]

DAY = date(2026, 3, 2)
CLICKS, WINDOWS, REGIONS = "silver.clicks", "gold.product_metrics_5m", "gold.region_revenue_daily"
STREAMED = [name for name in COMPARED if name not in (*LIVE, *SAID, *MARTS)]


@pytest.fixture(scope="module")
def replayed(stack: "Stack", seed: int) -> str:
    """The number of a replay that the Spark driver has carried out."""
    day = ShopDay(DAY, 3_000, 150, seed, late=0.05, very_late=0.02, duplicates=0.05, transactions=300, broken=0.002)
    settings, number = spark_installation.made(day)
    send_day(settings, ShopDay(DAY, 300, 60, seed + 2, late=0.2, transactions=30, broken=0.01), judged=False)
    spark_installation.change_over(settings, seed)
    return number


@pytest.fixture(scope="module")
def shop(stack: "Stack", replayed: str, seed: int) -> Iterator[Settings]:
    settings = stack.ensure(*spark_installation.SERVICES)
    send_day(settings, ShopDay(DAY, 300, 60, seed + 3, late=0.2, transactions=30, broken=0.01), judged=False)
    with running(settings, JOBS[INGEST], JOBS[FOLLOWER]):
        yield settings


def assert_right(settings: Settings, *names: str) -> None:
    """Once all has arrived, every row of the tables is the reference's."""
    ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    comparison = compare(settings, names or STREAMED, ends)
    assert [t for t in comparison.tables if not t.equal or not t.rows_compared] == []


def said(settings: Settings, *arguments: str) -> str:
    answer = lakehouse(settings, *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def damage(settings: Settings) -> None:
    """Gold has a wrong sum in each row of the day; silver lacks its first clicks, and has others twice."""
    for name in (WINDOWS, CLICKS):
        rows = scan(settings, name, dates=(DAY, DAY)).collect()
        if name == WINDOWS:
            wrong = rows.with_columns(revenue_cents=pl.col("revenue_cents") + 1)
        else:
            ordered = rows.sort("event_time", "event_id")
            wrong = pl.concat([ordered[20:], ordered[-5:]])
        replace_days(settings, name, [DAY], to_arrow(name, wrong), Once.new("damage"))


def planned(settings: Settings, *arguments: str) -> str:
    told = said(settings, "replay", "plan", "--from", f"{DAY}", "--to", f"{DAY}T23:59:59.999Z", *arguments)
    return re.findall(r"lakehouse replay run (\d+)", told)[0]


def kill_once_silver_is_repaired(settings: Settings, number: str) -> None:
    """The replay's process, as soon as its first table has been put in place."""
    before = open_table(settings, CLICKS).version()
    with subprocess.Popen([ROOT / "bin" / "lakehouse", "replay", "run", number], start_new_session=True) as process:
        until(lambda: _labelled(settings, f"replay {number}", before), PATIENCE_SECONDS, "a repair", every=0.01)
        os.killpg(process.pid, signal.SIGKILL)


def _labelled(settings: Settings, label: str, since: int) -> bool:
    newest = open_table(settings, CLICKS)
    return newest.version() > since and any(label in str(commit) for commit in newest.history(3))


def test_every_table_is_the_reference_s_and_no_record_is_lost(shop: Settings) -> None:
    assert_right(shop)
    assert "0 lost, 0 doubled, 0 altered" in said(shop, "audit", "--no-live")
    assert set(BRONZE) <= set(STREAMED)


def test_a_replay_of_before_the_change_over_is_not_undone(shop: Settings, replayed: str) -> None:
    answer = lakehouse(shop, "replay", "undo", replayed)
    assert answer.returncode == 1
    assert "before the change-over" in answer.stdout + answer.stderr


def test_marts_are_built_of_tables_that_are_as_expected(shop: Settings) -> None:
    run_quality(shop, [name for name in checked_tables() if name in STREAMED], day=DAY)
    for mart in MARTS:
        publish_day(shop, mart, DAY)
    assert_right(shop, *MARTS)


def test_any_row_is_made_again_from_its_records(shop: Settings) -> None:
    assert re.search(r"\d+ rows of .* made again of .* records, 0 differ", said(shop, "parity"))
    user = scan(shop, "gold.user_totals").select("user_id").head(1).collect().item()
    assert "It adds up" in said(shop, "explain", "gold.user_totals", "--", user)


def test_a_replay_that_is_killed_repairs_what_was_damaged_and_undo_brings_it_back(shop: Settings, seed: int) -> None:
    damage(shop)
    number = planned(shop)
    send_day(shop, ShopDay(DAY, 300, 60, seed + 1, late=0.2), judged=False)
    kill_once_silver_is_repaired(shop, number)
    diff = said(shop, "replay", "run", number)
    assert f"replay {number} is done" in diff
    assert_right(shop)
    right = scan(shop, CLICKS, dates=(DAY, DAY)).collect().height
    said(shop, "replay", "undo", number)
    assert scan(shop, CLICKS, dates=(DAY, DAY)).collect().height == right - 15
    said(shop, "replay", "run", planned(shop))
    assert_right(shop)


def test_a_mart_is_replayed_from_the_tables_as_they_are(shop: Settings) -> None:
    for mart in MARTS:
        publish_day(shop, mart, DAY)
    rows = scan(shop, MARTS[0], dates=(DAY, DAY)).collect()
    replace_days(shop, MARTS[0], [DAY], to_arrow(MARTS[0], rows.head(1)), Once.new("damage"))
    said(shop, "replay", "run", planned(shop, "--target", MARTS[0]))
    assert_right(shop, *MARTS)


def test_a_table_that_is_put_back_follows_its_sources_again(shop: Settings) -> None:
    versions = range(open_table(shop, REGIONS).version() + 1)
    since = next(v for v in versions if not open_table(shop, REGIONS, v).metadata().partition_columns)
    stop(shop, JOBS[FOLLOWER], "test")
    before = lakehouse(shop, "table", "restore", REGIONS, "--version", "1")
    assert "before the change-over" in before.stdout + before.stderr
    said(shop, "table", "restore", REGIONS, "--version", str(since))
    start(shop, JOBS[FOLLOWER], "test")
    assert_right(shop, REGIONS)


def test_records_that_lie_in_the_wrong_table_are_judged_anew_and_what_follows_is_right(shop: Settings) -> None:
    wait_until_drained(shop, PATIENCE_SECONDS, live=False)
    bronze, position = f"bronze.{PURCHASES.table}", ["partition", "offset"]
    wrong = scan(shop, bronze).sort(position).head(3).collect()
    why = {"reason": pl.lit("out_of_range"), "field": pl.lit("amount_cents"), "key": pl.col("user_id").cast(pl.Binary)}
    letters = wrong.with_columns(**why).select(table(DEAD_LETTERS).column_names)
    append(shop, DEAD_LETTERS, to_arrow(DEAD_LETTERS, letters), Once.new("earlier rule"))
    places = (f'("partition" = {p} AND "offset" = {o})' for p, o in wrong.select(position).iter_rows())
    open_table(shop, bronze).delete(" OR ".join(places))

    def gone() -> bool:
        return scan(shop, "silver.purchases").join(wrong.lazy(), position, "semi").collect().is_empty()

    until(gone, PATIENCE_SECONDS, "silver without them")
    assert "3 of" in said(shop, "rejudge", "--apply")
    assert_right(shop)
