"""A running Airflow with the product's DAGs and the tests' own, and tables for it to work on."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from jobs.change_over import bronze
from jobs.follower.cycle import Follower
from jobs.follower.lake import Lake
from lakehouse.airflow_api import AirflowClient
from lakehouse.checkpoints import Positions, begin_checkpoint
from lakehouse.compare import SAID
from lakehouse.compare.reference import Reference
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.graph import DERIVED, STREAM
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import INGEST, SPARK_INGEST
from lakehouse.contracts.tables import BRONZE
from lakehouse.cuts import Cut, record_cut, versions_of
from lakehouse.delta import create_table
from lakehouse.delta.notes import Asked, Batch
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.groups import move_group
from lakehouse.produce import send_day
from lakehouse.settings import Settings
from tests.parsed_airflow import parsed_airflow
from tests.reference_lake import write_tables

if TYPE_CHECKING:
    from tests.conftest import Stack

CORE_JOBS = [JOBS[STREAM]] if CORE is Core.SPARK else [JOBS[INGEST], JOBS[STREAM]]
CORE_SERVICES = ("kafka",) if CORE is Core.SPARK else ("kafka", "flink")
SHOP_DAYS = tuple(date(2026, 3, day) for day in (6, 7, 8))
PATIENCE_MS = 120_000
collect_ignore = [] if CORE is Core.SPARK else ["test_airflow_rebuild.py", "test_kill_airflow.py"]
"""They are about the Spark driver."""
TEST_DAGS = Path(__file__).with_name("airflow_dags.py")


@pytest.fixture(scope="session")
def airflow_stack(stack: "Stack") -> Settings:
    """Settings of a stack whose Airflow has parsed every DAG."""
    return parsed_airflow(stack, TEST_DAGS, frozenset({"endless_deferred", "endless_held"}))


@pytest.fixture(scope="session")
def shop_days(stack: "Stack", seed: int) -> Settings:
    """`SHOP_DAYS` in silver and gold, as from a stream that has ended: what tests add to a table, nobody reads."""
    settings = stack.ensure("kafka", "minio", "postgres")
    for day, clicks in zip(SHOP_DAYS, (2_000, 300, 300), strict=True):
        send_day(settings, ShopDay(day, clicks=clicks, purchases=clicks // 40, seed=seed), judged=False)
    ends = kafka_ends(settings)
    write_tables(settings, Reference.read(settings, ends), Batch(job=STREAM, batch_id=0), marts=False)
    for name in SAID:  # as they are before anybody said anything
        create_table(settings, name)
    ended(settings, ends)
    return settings


def ended(settings: Settings, ends: Positions) -> None:
    """Lets the core have brought everything up to `ends` into the tables, as they are."""
    if CORE is Core.SPARK:
        begin_checkpoint(settings, SPARK_INGEST, ends)
        return
    for topic, positions in ends.items():
        move_group(settings, INGEST, topic, positions)
    bronze.say(settings, ends, Asked(job="test", scope="test"))
    for _ in Follower(Lake(settings)).settle():  # which finds all rows right, and says how far it has read
        pass
    record_cut(settings, Cut(1, ends, versions_of(settings, (*BRONZE, *DERIVED))))


@pytest.fixture(scope="module")
def airflow(airflow_stack: Settings) -> Iterator[AirflowClient]:
    with AirflowClient(airflow_stack) as client:
        yield client


@pytest.fixture
def page(airflow_stack: Settings) -> Iterator[Page]:
    """Airflow's front page, logged in."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert browser_path, "Chromium is missing: `make install-test` installs it"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=sandbox)
        url = f"http://{airflow_stack.host}:{airflow_stack.airflow_port}"
        page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto("/")
        page.locator("input[name=username]").fill(airflow_stack.airflow_user)
        page.locator("input[name=password]").fill(airflow_stack.airflow_password.get_secret_value())
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile(r"^(?!.*auth/login)"))
        yield page
        browser.close()


@pytest.fixture
def keep_picture(page: Page, pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Keeps what the page shows as a picture for the docs, if the run was asked for them."""
    folder: Path | None = pytestconfig.getoption("screenshots")

    def keep(name: str) -> None:
        if folder is not None:
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"{name}.png", animations="disabled")

    return keep
