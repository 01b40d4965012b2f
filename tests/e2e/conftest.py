"""A running Airflow with the product's DAGs and the tests' own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

from infra.local.airflow import own_dags
from lakehouse.airflow_api import AirflowClient
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Stack

TEST_DAGS = Path(__file__).with_name("airflow_dags.py")
PRODUCT_DAGS = {"streaming_jobs", "backfill_marts", "catalog_refresh", "quality", "rebuild"}
PARSED_WITHIN_SECONDS = 120


@pytest.fixture(scope="session")
def airflow_stack(stack: "Stack") -> Settings:
    """Settings of a stack whose Airflow has parsed every DAG."""
    own_dags(stack.settings).mkdir(parents=True, exist_ok=True)
    shutil.copy(TEST_DAGS, own_dags(stack.settings))
    settings = stack.ensure("airflow")
    with AirflowClient(settings) as client:
        wanted = PRODUCT_DAGS | {"endless_deferred", "endless_held"}
        deadline = monotonic() + PARSED_WITHIN_SECONDS
        while missing := {dag for dag in wanted if not client.has_dag(dag)}:
            assert monotonic() < deadline, f"not parsed: {missing}; {client.call('GET', '/importErrors')}"
            sleep(0.5)
    return settings


@pytest.fixture(scope="module")
def airflow(airflow_stack: Settings) -> Iterator[AirflowClient]:
    with AirflowClient(airflow_stack) as client:
        yield client
