"""What an earlier rule of validity let in or kept out: the stream goes on beside sums that fit no 64 bits, and one
command judges all of it by today's rule, killed at its worst moments."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from jobs.batch import rejudge as judging
from lakehouse.checkpoints import begin_checkpoint
from lakehouse.compare import COMPARED, LIVE, Comparison, compare
from lakehouse.compare.segments import cache_directory
from lakehouse.contracts import validation
from lakehouse.contracts.events import MAX_CENTS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.times import utc
from lakehouse.delta import create_table, scan
from lakehouse.drained import kafka_ends
from lakehouse.drained.refreshes import outdated
from lakehouse.kafka.sender import Sender
from lakehouse.ledger import audit
from lakehouse.rejudge import moves, trail
from lakehouse.rejudge.judged import TOPICS, take_census
from lakehouse.settings import ROOT, Settings
from tests.integration.spark_lake import Driver
from tests.reference_lake import encoded, fill_said, fill_tables
from tests.strategies import at, click, impression, product, profile, purchase, transaction

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1500)]

HUGE = 9 * 10**18
LONG = "charlotte"
"""A user whose id the earlier rule found too long."""
CUT = click("kim", "10:25")._replace(page="x" * 70_000)
"""Larger than today's rule allows, between two clicks of the same session."""

STREAM = [
    product("mug", "01:00"),
    product("gold", "01:00", "coins"),
    product("gold", "09:00", "bars")._replace(price_cents=MAX_CENTS + 1),
    profile("kim", "07:00"),
    profile(LONG, "07:00"),
    click("kim", "10:00"),
    CUT,
    click("kim", "10:50", "gold"),
    *(click(LONG, f"11:{minute}", "gold") for minute in (10, 20)),
    *(impression("ana", "10:00", event_id=f"i{n:02}") for n in range(20)),
    *(click("ana", "10:01", event_id=f"c{n:02}") for n in range(11)),
    *(purchase(user, "10:52", "gold", cents=HUGE) for user in ("midas1", "midas2", "midas3")),
    purchase("kim", "10:51", "gold"),
    purchase("ana", "10:53", "mug"),
    purchase("ana", "10:53", "mug", region="süd"),
    purchase("kim", "10:54", "gold", cents=HUGE, event_id="twice"),
    purchase("kim", "10:54", "gold", cents=700, event_id="twice"),
    purchase(LONG, "11:11", "gold"),
    *(transaction("ana", f"12:0{minute}", cents=HUGE if minute == 2 else 500) for minute in range(6)),
    transaction(LONG, "12:00"),
]
BROKEN = [
    ("shop.clicks", b"ana", b"{"),
    ("shop.purchases", b"somebody else", encoded(purchase("midas1", "13:00", cents=HUGE))[2]),
]

TABLES = [name for name in COMPARED if name not in LIVE]
WINDOWS = "gold.product_metrics_5m"
STREAMED = [name for name in TABLES if name in JOBS[SPARK_INGEST].writes]


@contextmanager
def earlier_rule(settings: Settings) -> Iterator[None]:
    """Amounts without a bound, values of any size, ids of up to 8 bytes; what the reference has read is read again."""
    check = validation._check_integer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "_check_integer", lambda minimum, _maximum: check(minimum, None))
        patch.setattr(validation, "MAX_VALUE_BYTES", 10**6)
        patch.setattr(validation, "MAX_ID_BYTES", 8)
        _forget(settings)
        yield
    _forget(settings)


def _forget(settings: Settings) -> None:
    validation._plan.cache_clear()
    shutil.rmtree(cache_directory(settings), ignore_errors=True)


@dataclass(frozen=True)
class Runs:
    """What is to be known of the stages. `beside`: the comparison with the earlier rule, once the stream has gone on.
    `before`, `after`: with today's. `counts`: what the command says is misjudged; `twice`: records in both tables after
    the first kill; `owed`: runs after the second one."""

    settings: Settings
    beside: Comparison
    windows: pl.DataFrame
    before: Comparison
    counts: dict[tuple[str, str | None, str | None, str | None], int]
    twice: int
    owed: int
    told: str
    after: Comparison
    findings: tuple[object, ...]
    again: str


@pytest.fixture(scope="module")
def runs(stack: "Stack") -> Runs:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "rejudged"})
    with earlier_rule(settings):
        fill_said(settings, fill_tables(settings, STREAM, BROKEN))
    for name in JOBS[SPARK_INGEST].writes:
        create_table(settings, name)
    begin_checkpoint(settings, SPARK_INGEST, kafka_ends(settings))
    with Driver(settings) as driver:
        send(settings, purchase("bob", "10:54:30", "gold"), purchase("bob", "10:54:30", "mug"), click("bob", "10:54"))
        driver.drain()
        driver.terminate()
    with earlier_rule(settings):
        beside = compare(settings, STREAMED)
    windows = scan(settings, WINDOWS).filter(window_start=time("10:50")).collect()
    before = compare(settings, TABLES)
    found = json.loads(command(settings, "--json"))["groups"]
    twice, owed = killed_between_two_commits(settings), killed_before_what_follows(settings)
    told = command(settings, "--apply")
    after, findings = compare(settings, TABLES), audit(settings, live=False).findings
    again = command(settings)
    return Runs(
        settings,
        beside,
        windows,
        before,
        {(g["topic"], g["was"]["reason"], g["is"]["reason"], g["is"]["field"]): g["records"] for g in found},
        twice,
        owed,
        told,
        after,
        findings,
        again,
    )


def killed_between_two_commits(settings: Settings) -> int:
    """Purchases go to the dead letters and are not yet gone from bronze; how many lie in both."""
    merge, commits = moves._merge, []

    def interrupted(of: Settings, name: str, *rest: Any) -> None:
        commits.append(name)
        if commits[-2:] == ["bronze.dead_letters", "bronze.purchases"]:
            raise KeyboardInterrupt
        merge(of, name, *rest)

    kill(settings, ["shop.purchases"], moves, "_merge", interrupted)
    position = ("partition", "offset")
    dead = scan(settings, "bronze.dead_letters").filter(topic="shop.purchases").select(position).collect()
    return scan(settings, "bronze.purchases").select(position).collect().join(dead, on=position, how="semi").height


def killed_before_what_follows(settings: Settings) -> int:
    """All records have moved, and nothing else is done; how many runs are owed then."""
    kill(settings, TOPICS, judging, "_derive", interrupt)
    assert take_census(settings, TOPICS, lambda _doing: None).total == 0
    return len(trail.unfinished(settings))


def test_a_sum_that_fits_no_64_bits_stands_aside_and_the_stream_goes_on(runs: Runs) -> None:
    assert differing(runs.beside) == set()
    windows = {row["product_id"]: row for row in runs.windows.iter_rows(named=True)}
    assert {p: (row["conversions"], row["revenue_cents"]) for p, row in windows.items()} == {
        "gold": (6, None),
        "mug": (3, 1500),
    }


def test_what_stands_aside_is_named_and_its_rollups_with_it(runs: Runs) -> None:
    aside = {t.table: t.aside_named for t in runs.beside.tables if t.aside}
    assert aside.pop("gold.region_revenue_sliding_10m")
    assert aside == {
        WINDOWS: (f"product_id='gold', window_start={time('10:50').isoformat()}",),
        "gold.region_revenue_5m": (f"region='north', window_start={time('10:50').isoformat()}",),
        "gold.region_revenue_daily": ("region='north', event_date=2024-03-01",),
    }


def test_the_command_counts_what_is_misjudged_and_changes_nothing(runs: Runs) -> None:
    assert runs.counts == {
        ("shop.purchases", None, "out_of_range", "amount_cents"): 4,
        ("shop.purchases", "out_of_range", None, None): 1,
        ("shop.purchases", "key_mismatch", "out_of_range", "amount_cents"): 1,
        ("shop.transactions", None, "out_of_range", "amount_cents"): 1,
        ("shop.transactions", "out_of_range", None, None): 1,
        ("shop.clicks", None, "too_large", None): 1,
        ("shop.clicks", "out_of_range", None, None): 2,
        ("shop.products", None, "out_of_range", "price_cents"): 1,
        ("shop.profiles", "out_of_range", None, None): 1,
    }


def test_a_record_is_in_both_tables_rather_than_in_none_when_it_is_killed(runs: Runs) -> None:
    assert runs.twice == 4


def test_a_call_after_a_kill_finds_what_is_owed_and_does_the_rest(runs: Runs) -> None:
    assert runs.owed == 2
    assert trail.unfinished(runs.settings) == set()
    assert "shop.purchases: 5 events came or went" in runs.told


def test_all_equals_todays_reference_afterwards(runs: Runs) -> None:
    rejudged = {"bronze.purchases", "bronze.dead_letters", "silver.products", "silver.clicks", "silver.sessions"}
    assert differing(runs.before) >= rejudged | {"gold.region_revenue_daily", "marts.region_daily"}
    assert differing(runs.after) == set()
    assert [t.table for t in runs.after.tables if t.aside] == []
    assert "All of" in runs.again


def test_a_session_falls_apart_where_its_click_is_none_any_more(runs: Runs) -> None:
    sessions = scan(runs.settings, "silver.sessions").filter(user_id="kim").collect()
    assert sorted(sessions["session_start"]) == [time("10:00"), time("10:50")]


def test_what_was_said_of_transactions_that_were_judged_anew_stays_said(runs: Runs) -> None:
    assert [(said.rule, said.right, said.anew) for said in runs.after.said] == [
        ("fraud_flagged", True, 3),
        ("fraud_blocked", True, 3),
    ]


def test_the_ledger_is_right_and_each_record_is_noted(runs: Runs) -> None:
    assert runs.findings == ()
    noted = scan(runs.settings, trail.TRAIL).filter(step=trail.JUDGED).collect()
    assert noted.select("topic", "partition", "offset").unique().height == sum(runs.counts.values())


def test_every_table_says_that_it_follows_from_silver_as_it_is(runs: Runs) -> None:
    assert outdated(runs.settings) == {}


def kill(settings: Settings, topics: Sequence[str], module: ModuleType, name: str, to: Callable[..., None]) -> None:
    """Has a call end where it calls `module.name`, in whose place is `to`."""
    census = take_census(settings, topics, lambda _doing: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, to)
        with pytest.raises(KeyboardInterrupt):
            judging.rejudge(settings, "test", census)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def time(clock: str) -> datetime:
    return utc(at(clock))


def command(settings: Settings, *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "cli", "rejudge", *words],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace, "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def differing(result: Comparison) -> set[str]:
    return {t.table for t in result.tables if not t.equal}


def send(settings: Settings, *events: object) -> None:
    with Sender(settings) as sender:
        sender.send(map(encoded, events))
