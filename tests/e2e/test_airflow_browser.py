"""What an operator sees and does in Airflow's UI, in a real Chromium."""

import re
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from jobs.rust_engines import MARTS
from lakehouse.airflow_api import AirflowClient, DagRun
from lakehouse.delta import scan
from lakehouse.settings import Settings
from tests.e2e.conftest import SHOP_DAYS
from tests.parsed_airflow import DAGS

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]

DAY = SHOP_DAYS[0]


def test_every_dag_is_listed_and_none_failed_to_import(page: Page) -> None:
    page.goto("/dags")

    for dag in DAGS:
        expect(page.get_by_role("link", name=dag, exact=True).first).to_be_visible()
    page.goto("/")
    expect(page.get_by_text("Stats").first).to_be_visible()
    expect(page.get_by_text(re.compile("import error", re.IGNORECASE))).to_have_count(0)


def test_an_operator_builds_a_day_s_marts_and_opens_the_data_docs(
    page: Page, airflow: AirflowClient, shop_days: Settings, keep_picture: Callable[[str], None]
) -> None:
    airflow.unpause("backfill_marts")
    before = set(runs(airflow))
    page.goto("/dags/backfill_marts")
    page.get_by_role("button", name="Trigger").first.click()
    page.locator("#element_day").fill(DAY.isoformat())
    keep_picture("backfill-form")
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    (run,) = (run for run in set(runs(airflow)) - before if run.run_id.startswith("manual"))

    airflow.wait(run, 600)

    for mart in MARTS:
        assert scan(shop_days, mart, dates=(DAY, DAY)).collect().height > 0
    page.goto(f"/dags/backfill_marts/runs/{quote(run.run_id, safe='')}/tasks/check_silver_clicks/details")
    page.locator("a[href*='/reports/data_docs/silver.clicks.html']").click()
    expect(page).to_have_url(re.compile("/reports/data_docs/silver.clicks.html"))
    expect(page.get_by_text("silver.clicks").first).to_be_visible()
    keep_picture("data-docs")


def runs(airflow: AirflowClient) -> list[DagRun]:
    answer = airflow.call("GET", "/dags/backfill_marts/dagRuns?limit=100")
    return [DagRun("backfill_marts", run["dag_run_id"], "") for run in answer["dag_runs"]]


def test_reports_are_for_those_who_are_logged_in(airflow: AirflowClient) -> None:
    assert httpx.get(f"{airflow.url}/reports/data_docs/index.html").status_code == 401
