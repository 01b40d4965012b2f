"""Replays as an operator does them: asked for in a form, approved, followed, compared, swapped in, taken back."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from infra.local.batch import Submission, work_of
from jobs.catalog import JOBS
from lakehouse.airflow_api import FINISHED, AirflowClient, DagRun
from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.delta import Once, open_table, replace_days, scan
from lakehouse.delta.write import to_arrow
from lakehouse.replay import report, store
from lakehouse.replay.store import Kind, State
from lakehouse.runtime.reconcile import start, stop
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings
from tests.e2e.conftest import SHOP_DAYS
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]

DAY = SHOP_DAYS[2]
PATIENCE_SECONDS = 600
WINDOWS = "gold.product_metrics_5m"


@pytest.fixture
def owned(stack: "Stack", shop_days: Settings) -> Iterator[Settings]:
    """The shop's days, and the running stream that owns their tables."""
    stack.ensure("kafka")
    start(shop_days, JOBS[SPARK_INGEST], "test")
    yield shop_days
    stop(shop_days, JOBS[SPARK_INGEST], "test")


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
    return rows.select("product_id", "window_start", "events", "revenue_cents").sort("product_id", "window_start")


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


def test_a_replay_is_rejected_and_another_stopped_before_its_swap(airflow: AirflowClient, shop_days: Settings) -> None:
    asked = {
        "from": f"{DAY}T00:00:00Z",
        "to": f"{DAY}T23:59:59Z",
        "topics": ["shop.purchases"],
        "targets": ["gold.user_totals"],
    }
    before = open_table(shop_days, "gold.user_totals").version()
    rejected = airflow.trigger("replay", asked)
    answer(airflow, rejected, "Reject")
    airflow.wait(rejected, PATIENCE_SECONDS)
    assert airflow.task_states(rejected)["recompute"] == "skipped"

    run = airflow.trigger("replay", asked)
    answer(airflow, run, "Approve")
    # The owner of the tables is stopped: the change set waits.
    until(lambda: airflow.task_states(run).get("swap") == "deferred", PATIENCE_SECONDS, "the swap waits", every=1)
    replay = store.newest_first(shop_days)[0]
    until(lambda: store.handed(shop_days, replay.id, Kind.SWAP) or None, 60, "the change set is handed over", every=1)
    assert store.get(shop_days, replay.id).state is State.SWAPPING
    assert "gold.user_totals" in report.path(shop_days, replay.id).read_text(encoding="utf-8")
    airflow.call("PATCH", f"/dags/replay/dagRuns/{quote(run.run_id, safe='')}/taskInstances/swap", new_state="failed")
    until(lambda: airflow.run_state(run) in FINISHED, PATIENCE_SECONDS, "the run has ended", every=1)

    assert store.get(shop_days, replay.id).state is State.CANCELLED
    program = Submission(work_of("replay", run.run_id, "swap", -1), 1).program
    assert program not in Supervisor(shop_days).programs()
    assert open_table(shop_days, "gold.user_totals").version() == before


def answer(airflow: AirflowClient, run: DagRun, option: str) -> None:
    """Decides upon the plan, as a person does under Required Actions."""
    path = f"/dags/replay/dagRuns/{quote(run.run_id, safe='')}"
    (asked,) = until(
        lambda: airflow.call("GET", f"{path}/hitlDetails")["hitl_details"] or None, PATIENCE_SECONDS, "a plan", every=1
    )
    assert "gold.user_totals" in asked["body"]
    airflow.call("PATCH", f"{path}/taskInstances/approve/-1/hitlDetails", chosen_options=[option], params_input={})
