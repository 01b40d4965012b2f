"""A running Airflow with the product's DAGs and the tests' own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.airflow_api import AirflowClient
from lakehouse.settings import Settings
from tests.parsed_airflow import parsed_airflow

if TYPE_CHECKING:
    from tests.conftest import Stack

TEST_DAGS = Path(__file__).with_name("airflow_dags.py")


@pytest.fixture(scope="session")
def airflow_stack(stack: "Stack") -> Settings:
    """Settings of a stack whose Airflow has parsed every DAG."""
    return parsed_airflow(stack, TEST_DAGS, frozenset({"endless_deferred", "endless_held"}))


@pytest.fixture(scope="module")
def airflow(airflow_stack: Settings) -> Iterator[AirflowClient]:
    with AirflowClient(airflow_stack) as client:
        yield client
