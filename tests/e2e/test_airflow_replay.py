"""Replays as an operator does them: asked for in a form, approved, followed, compared, swapped in, taken back."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from infra.local.batch import Submission, work_of
from lakehouse.airflow_api import FINISHED, AirflowClient, DagRun
from lakehouse.contracts.core import CORE, Core
from lakehouse.delta import Once, open_table, replace_days, scan
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.replay import report, store
from lakehouse.replay.request import Request
from lakehouse.replay.store import Kind, State
from lakehouse.runtime.lease import lease
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings
from tests.e2e.conftest import CORE_JOBS, CORE_SERVICES, SHOP_DAYS, ended
from tests.faults.killing import running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]

DAY = SHOP_DAYS[2]
PATIENCE_SECONDS = 600
WINDOWS = "gold.region_revenue_5m"


@pytest.fixture
def owned(stack: "Stack", shop_days: Settings) -> Iterator[Settings]:
    """The shop's days, and the running jobs that own their tables."""
    stack.ensure(*CORE_SERVICES)
    with running(shop_days, *CORE_JOBS):
        yield shop_days
    if CORE is Core.FOLLOWER:  # a cut of what others find, which nobody makes any more
        ended(shop_days, kafka_ends(shop_days))


@contextmanager
def wrong_rows(settings: Settings) -> Iterator[pl.DataFrame]:
    """Alters rows of `DAY` behind their owner's back, and brings them back at the end; gives them as they were."""
    right = scan(settings, WINDOWS, dates=(DAY, DAY)).collect()
    altered = right.with_columns(revenue_cents=pl.col("revenue_cents") + 7)
    replace_days(settings, WINDOWS, [DAY], to_arrow(WINDOWS, altered), Once.new("altered"))
    try:
        yield said(right)
    finally:
        replace_days(settings, WINDOWS, [DAY], to_arrow(WINDOWS, right), Once.new("right"))


def said(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("region", "window_start", "events", "revenue_cents").sort("region", "window_start")


def stored(settings: Settings) -> pl.DataFrame:
    return said(scan(settings, WINDOWS, dates=(DAY, DAY)).collect())


def test_an_operator_replays_a_day_from_the_form_reads_the_diff_and_takes_it_back(
    page: Page, airflow: AirflowClient, owned: Settings, keep_picture: Callable[[str], None]
) -> None:
    with wrong_rows(owned) as right:
        wrong = stored(owned)
        page.goto("/dags/replay")
        page.get_by_role("button", name="Trigger").first.click()
        fill_time(page, "From", "00:00")
        fill_time(page, "To", "23:59")
        page.locator("#element_targets").fill(WINDOWS)
        page.locator("#element_engine").click()
        page.get_by_role("option", name="datafusion").click()
        keep_picture("replay-form")
        replayed = trigger(page, airflow, "replay")
        run = f"/dags/replay/runs/{quote(replayed.run_id, safe='')}"
        until(
            lambda: airflow.task_states(replayed).get("approve") == "awaiting_input",
            PATIENCE_SECONDS,
            "a plan",
            every=1,
        )
        page.goto(f"{run}/tasks/approve/required_actions")
        expect(page.get_by_text(WINDOWS).first).to_be_visible()
        keep_picture("replay-plan")
        page.get_by_role("button", name="Approve").click()
        airflow.wait(replayed, PATIENCE_SECONDS)

        assert stored(owned).equals(right)
        replay = store.newest_first(owned)[0]
        assert replay.approved_by == owned.airflow_user
        page.goto(f"{run}/tasks/diff/details")
        page.locator(f"a[href*='/replays/{replay.id}.html']").click()
        expect(page.get_by_text("revenue_cents").first).to_be_visible()
        expect(page.get_by_text(re.compile(rf"\b{right.height}\b")).first).to_be_visible()
        keep_picture("replay-diff")

        page.goto("/dags/replay_undo")
        page.get_by_role("button", name="Trigger").first.click()
        page.locator("input[name=element_replay]").fill(str(replay.id))
        airflow.wait(trigger(page, airflow, "replay_undo"), PATIENCE_SECONDS)

        assert stored(owned).equals(wrong)
        assert store.get(owned, replay.id).state is State.UNDONE


def fill_time(page: Page, title: str, time: str) -> None:
    """Sets a time of the form that is open to that of `DAY`."""
    # The first is the run's own date, of which a form asks by itself.
    field = page.get_by_test_id("datetime-input").nth(["Logical date", "From", "To"].index(title))
    field.click()
    page.get_by_placeholder("YYYY/MM/DD").fill(f"{DAY:%Y/%m/%d}")
    page.get_by_placeholder("HH:mm").fill(time)
    field.click()
    expect(page.get_by_placeholder("HH:mm")).to_have_count(0)


def trigger(page: Page, airflow: AirflowClient, dag_id: str) -> DagRun:
    """Sends the form that is open; the run that came of it."""
    before = runs(airflow, dag_id)
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    (run,) = runs(airflow, dag_id) - before
    return run


def runs(airflow: AirflowClient, dag_id: str) -> set[DagRun]:
    answer = airflow.call("GET", f"/dags/{dag_id}/dagRuns?limit=100")
    return {DagRun(dag_id, run["dag_run_id"], "") for run in answer["dag_runs"]}


ASKED = {
    "from": f"{DAY}T00:00:00Z",
    "to": f"{DAY}T23:59:59Z",
    "topics": ["shop.purchases"],
    "targets": ["gold.user_totals"],
    "engine": "datafusion",
}


def test_a_rejected_replay_is_not_carried_out(airflow: AirflowClient, shop_days: Settings) -> None:
    rejected = airflow.trigger("replay", ASKED)
    answer(airflow, rejected, "Reject")
    airflow.wait(rejected, PATIENCE_SECONDS)

    assert airflow.task_states(rejected)["recompute"] == "skipped"
    assert store.newest_first(shop_days)[0].state is State.CANCELLED


def path_of(run: DagRun) -> str:
    return f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"


def fail_run(airflow: AirflowClient, run: DagRun) -> None:
    airflow.call("PATCH", path_of(run), state="failed")


def test_a_replay_whose_run_is_failed_before_its_swap_is_withdrawn(airflow: AirflowClient, shop_days: Settings) -> None:
    before = open_table(shop_days, "gold.user_totals").version()
    # Nobody puts rows in place meanwhile, as if another replay did.
    with lease(shop_days, "change_sets"):
        run = airflow.trigger("replay", ASKED)
        answer(airflow, run, "Approve")
        until(lambda: airflow.task_states(run).get("swap") == "deferred", PATIENCE_SECONDS, "the swap waits", every=1)
        replay = store.newest_first(shop_days)[0]
        until(
            lambda: store.handed(shop_days, replay.id, Kind.SWAP) or None, 60, "the change set is handed over", every=1
        )
        assert store.get(shop_days, replay.id).state is State.SWAPPING
        assert "gold.user_totals" in report.path(shop_days, replay.id).read_text(encoding="utf-8")

        fail_run(airflow, run)
        until(lambda: airflow.run_state(run) in FINISHED, PATIENCE_SECONDS, "the run has ended", every=1)

        until(lambda: store.get(shop_days, replay.id).state is State.CANCELLED, 60, "the replay is withdrawn", every=1)
        assert not store.waiting(shop_days)
        program = Submission(work_of("replay", run.run_id, "swap", -1), 1).program
        until(lambda: program not in Supervisor(shop_days).programs(), 60, "its process has ended", every=1)
        assert open_table(shop_days, "gold.user_totals").version() == before


def test_what_runs_left_is_withdrawn_within_a_minute_and_those_that_wait_go_on(
    airflow: AirflowClient, shop_days: Settings
) -> None:
    """The end of the first run was told nobody, as when it is deleted: there is none of that name."""
    day = datetime(SHOP_DAYS[1].year, SHOP_DAYS[1].month, SHOP_DAYS[1].day, tzinfo=UTC)
    request = Request.checked(day, day + timedelta(days=1), datetime.now(UTC), targets=["gold.user_totals_daily"])
    unseen = store.plan_replay(shop_days, request, "test", "replay/deleted")
    run = airflow.trigger("replay", ASKED)  # it looks for such runs itself, before it plans
    until(lambda: airflow.task_states(run).get("approve") == "awaiting_input", PATIENCE_SECONDS, "a plan", every=1)
    assert store.get(shop_days, unseen.id).state is State.CANCELLED
    awaiting = store.newest_first(shop_days)[0]
    again = store.plan_replay(shop_days, request, "test", "replay/deleted")

    airflow.unpause("streaming_jobs")
    try:
        airflow.trigger("streaming_jobs", {"jobs": []})
        until(lambda: store.get(shop_days, again.id).state is State.CANCELLED, 300, "it is withdrawn", every=1)
    finally:
        airflow.pause("streaming_jobs")

    assert store.get(shop_days, awaiting.id).state is State.PLANNED, "its run awaits an answer"
    fail_run(airflow, run)
    until(lambda: store.get(shop_days, awaiting.id).state is State.CANCELLED, 60, "it is withdrawn too", every=1)


def answer(airflow: AirflowClient, run: DagRun, option: str) -> None:
    """Decides upon the plan, as a person does under Required Actions."""
    details = f"{path_of(run)}/hitlDetails"
    (asked,) = until(lambda: airflow.call("GET", details)["hitl_details"] or None, PATIENCE_SECONDS, "a plan", every=1)
    assert "gold.user_totals" in asked["body"]
    answered = f"{path_of(run)}/taskInstances/approve/-1/hitlDetails"
    airflow.call("PATCH", answered, chosen_options=[option], params_input={})
