"""The pages Lakehouse and Explain in Airflow's UI, and the lag in its DAG: what an operator sees, logged in."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from playwright.sync_api import FrameLocator, Page, expect

from lakehouse.airflow_api import FINISHED, AirflowClient
from lakehouse.contracts.graph import STREAM
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import ALERTS_SENT, INGEST
from lakehouse.contracts.tables import TABLES
from lakehouse.delta import append_ops, open_table, scan
from lakehouse.delta.describe import extent
from lakehouse.drained import consumers
from lakehouse.explain.keys import as_typed
from lakehouse.kafka.producer import build_producer
from lakehouse.kafka.topics import ALERTS
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings
from quality import run_quality
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]

WINDOWS = "gold.product_metrics_5m"
READER = STREAM if JOBS[STREAM].topics else INGEST
"""The job of the core that reads Kafka."""


@pytest.fixture(scope="module")
def logged_in(airflow_stack: Settings) -> httpx.Client:
    """A client whose session is that of a browser that has logged in."""
    url = f"http://{airflow_stack.host}:{airflow_stack.airflow_port}"
    login = {"username": airflow_stack.airflow_user, "password": airflow_stack.airflow_password.get_secret_value()}
    token = httpx.post(f"{url}/auth/token", json=login).json()["access_token"]
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def frame(page: Page) -> FrameLocator:
    """What Airflow's page shows of ours."""
    return page.frame_locator("iframe")


@pytest.mark.parametrize("path", ["", "status.json", "explain", f"explain?table={WINDOWS}&key=a&key=b"])
def test_nothing_is_shown_without_a_login(airflow: AirflowClient, path: str) -> None:
    answer = httpx.get(f"{airflow.url}/lakehouse/{path}")

    assert answer.status_code == 401
    assert STREAM not in answer.text
    assert WINDOWS not in answer.text


def test_an_operator_sees_every_job_and_table(
    page: Page, shop_days: Settings, keep_picture: Callable[[str], None]
) -> None:
    run_quality(shop_days, ["silver.clicks"])
    size = extent(open_table(shop_days, "silver.clicks"))

    page.goto("/")
    page.get_by_role("link", name="Lakehouse").click()
    shown = frame(page)

    expect(shown.locator("#jobs tbody tr")).to_have_count(len(JOBS))
    expect(shown.locator("#tables tbody tr")).to_have_count(sum(t.variant_of is None for t in TABLES.values()))
    stream = shown.locator(f"#job-{STREAM}")
    expect(stream).to_contain_text(re.compile(r"stopped.*stopped", re.DOTALL))
    clicks = shown.locator("[id='table-silver.clicks']")
    for text in (STREAM, f"{size.rows:,}", "passed"):
        expect(clicks).to_contain_text(text)
    expect(shown.locator("[id='table-ops.rejudged']")).to_contain_text("not written")
    expect(shown.get_by_role("link", name="Data docs")).to_be_visible()
    keep_picture("lakehouse")


def test_an_operator_goes_from_the_table_to_the_explanation_of_a_row(
    page: Page, shop_days: Settings, keep_picture: Callable[[str], None]
) -> None:
    row = scan(shop_days, WINDOWS).sort("events", "product_id", "window_start").tail(1).collect().to_dicts()[0]
    product, start = as_typed({name: row[name] for name in ("product_id", "window_start")}).split()
    page.goto("/plugin/lakehouse")
    shown = frame(page)

    shown.get_by_role("link", name=WINDOWS, exact=True).click()
    shown.get_by_label("product_id").fill(product)
    shown.get_by_label("window_start").fill(start)
    shown.get_by_role("button", name="Explain").click()

    expect(shown.get_by_text(f"It adds up: {row['events']:,} events")).to_be_visible()
    expect(shown.locator("#records tbody tr").first).to_contain_text("shop.clicks[")
    expect(shown.get_by_text(re.compile(r"By stream batch \d+ of " + STREAM))).to_be_visible()
    keep_picture("explain")


def test_the_explain_page_is_in_the_menu_and_an_explanation_has_an_address(page: Page, shop_days: Settings) -> None:
    user = scan(shop_days, "gold.user_totals").select(pl.first("user_id")).collect().item()
    page.goto("/plugin/explain")
    expect(frame(page).get_by_role("button", name="Choose the table")).to_be_visible()

    page.goto(f"/lakehouse/explain?table=gold.user_totals&key={quote(user)}")

    expect(page.get_by_text("It adds up")).to_be_visible()


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"table": "gold.nothing"}, 404, "known tables:"),
        ({"table": "bronze.clicks"}, 404, "Explained are:"),
        ({"table": WINDOWS, "key": ["p", "yesterday"]}, 400, "2026-03-01T14:00"),
        (
            {"table": WINDOWS, "key": ["<b>p</b>", "2026-03-06T00:00"]},
            404,
            "has no row &#39;&lt;b&gt;p&lt;/b&gt;&#39; 2026-03-06",
        ),
    ],
    ids=["no such table", "not explained", "bad key", "no such row"],
)
def test_what_cannot_be_explained_is_answered_with_a_sentence_that_helps(
    logged_in: httpx.Client, shop_days: Settings, asked: dict[str, str | list[str]], status: int, said: str
) -> None:
    answer = logged_in.get("/lakehouse/explain", params=asked)

    assert answer.status_code == status
    assert said in answer.text
    assert "<form" in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_the_same_as_data_with_the_last_comparison(logged_in: httpx.Client, shop_days: Settings) -> None:
    counts = {"rows_compared": 7, "missing": 0, "unexpected": 1, "different": 0}
    run = {"run_id": "t", "compared_at": datetime.now(UTC), "table": WINDOWS, "version": 1}
    append_ops(shop_days, "ops.comparisons", [run | counts])

    answer = logged_in.get("/lakehouse/status.json")

    assert answer.headers["Cache-Control"] == "no-store"
    assert {job["job"] for job in answer.json()["jobs"]} == set(JOBS)

    def compared() -> dict[str, Any] | None:
        found = {table["table"]: table for table in logged_in.get("/lakehouse/status.json").json()["tables"]}
        assert set(found) == {name for name, contract in TABLES.items() if contract.variant_of is None}
        parity = found[WINDOWS]["parity"]
        return found if parity and parity["rows_compared"] == 7 else None

    tables = until(compared, 120, "the comparison is known")  # what was known before comes first
    assert (tables[WINDOWS]["parity"]["unexpected"], tables[WINDOWS]["parity"]["ok"]) == (1, False)
    assert tables[WINDOWS]["age_seconds"]["parity"] < 120
    rows = scan(shop_days, "silver.purchases").select(pl.len()).collect().item()
    assert tables["silver.purchases"]["extent"]["rows"] == rows


def minute(airflow: AirflowClient) -> dict[str, str]:
    """A run of `streaming_jobs` that has ended: how each of its tasks did."""
    airflow.unpause("streaming_jobs")
    try:
        run = airflow.trigger("streaming_jobs", {"jobs": []})
        until(lambda: airflow.run_state(run) in FINISHED, 300, "the run has ended", every=1)
    finally:
        airflow.pause("streaming_jobs")
    return airflow.task_states(run) | {"run": run.run_id}


def test_each_minute_s_run_shows_the_lag(airflow: AirflowClient, shop_days: Settings) -> None:
    producer = build_producer(shop_days)
    producer.produce(shop_days.prefixed(ALERTS), value=b"an alert that nobody takes, as its consumers are stopped")
    assert producer.flush(30) == 0

    states = minute(airflow)

    assert states["lag"] == "success"
    path = f"/dags/streaming_jobs/dagRuns/{quote(states['run'], safe='')}/taskInstances/lag"
    entries = airflow.call("GET", f"{path}/xcomEntries/return_value")["value"]
    assert {entry["consumer"] for entry in entries} == set(consumers())
    assert sum(entry["lag"] for entry in entries if entry["consumer"] == READER) == 0
    assert any(entry["advice"] for entry in entries if entry["consumer"] == ALERTS_SENT)


def test_without_kafka_the_page_says_so_and_the_lag_is_skipped(
    airflow: AirflowClient, logged_in: httpx.Client, shop_days: Settings, stack: "Stack"
) -> None:
    def reader(known: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """The row of the job, if it is so."""
        rows = logged_in.get("/lakehouse/status.json").json()["jobs"]
        (row,) = (row for row in rows if row["job"] == READER)
        return row if known(row) else None

    def kafka_is_silent(row: dict[str, Any]) -> bool:
        return any(why.startswith("kafka does not answer") for why in row["unknown"])

    until(lambda: reader(lambda row: row["lag"] is not None), 120, "the lag is known", every=1)
    Supervisor(shop_days).stop("kafka")
    try:
        silent = until(lambda: reader(kafka_is_silent), 120, "Kafka's silence is known", every=1)
        began = monotonic()
        shown = logged_in.get("/lakehouse/").text
        answered_in = monotonic() - began
        states = minute(airflow)
    finally:
        stack.ensure("kafka")

    assert (silent["wanted"], silent["lag"]) == ("stopped", 0)
    assert silent["age_seconds"]["lag"] > silent["age_seconds"]["wanted"]
    assert "kafka does not answer" in shown
    assert answered_in < 10, "the page waits for no service"
    assert states["lag"] == "skipped"
