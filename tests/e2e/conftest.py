"""A running Airflow with the product's DAGs and the tests' own, and tables for it to work on."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.catalog import JOBS
from lakehouse.airflow_api import AirflowClient
from lakehouse.compare import SAID
from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.delta import create_table
from lakehouse.drained import wait_until_drained
from lakehouse.generator.traffic import ShopDay
from lakehouse.produce import send_day
from lakehouse.runtime.reconcile import start, stop
from lakehouse.settings import Settings
from tests.parsed_airflow import parsed_airflow

if TYPE_CHECKING:
    from tests.conftest import Stack

SHOP_DAYS = tuple(date(2026, 3, day) for day in (6, 7, 8))
TEST_DAGS = Path(__file__).with_name("airflow_dags.py")


@pytest.fixture(scope="session")
def airflow_stack(stack: "Stack") -> Settings:
    """Settings of a stack whose Airflow has parsed every DAG."""
    return parsed_airflow(stack, TEST_DAGS, frozenset({"endless_deferred", "endless_held"}))


@pytest.fixture(scope="session")
def shop_days(stack: "Stack", seed: int) -> Settings:
    """`SHOP_DAYS` in silver and gold, from a stream that has ended: what tests add to a table, nobody reads."""
    settings = stack.ensure("kafka", "minio", "postgres")
    for day, clicks in zip(SHOP_DAYS, (2_000, 300, 300), strict=True):
        send_day(settings, ShopDay(day, clicks=clicks, purchases=clicks // 40, seed=seed), judged=False)
    start(settings, JOBS[SPARK_INGEST], "test")
    for name in SAID:  # as they are before anybody said anything
        create_table(settings, name)
    try:
        wait_until_drained(settings, 900, live=False)
    finally:
        stop(settings, JOBS[SPARK_INGEST], "test")
    return settings


@pytest.fixture(scope="module")
def airflow(airflow_stack: Settings) -> Iterator[AirflowClient]:
    with AirflowClient(airflow_stack) as client:
        yield client
