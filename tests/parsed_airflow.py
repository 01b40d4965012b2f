"""A running Airflow that has parsed the product's DAGs, and whatever a test adds."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local.airflow import own_dags
from lakehouse.airflow_api import AirflowClient
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Stack

FREQUENT = ("streaming_jobs", "audit", "parity")
"""Paused: their runs by schedule cost most of a core, and what they do is done in the tests' own time."""
DAGS = frozenset({"backfill_marts", "catalog_refresh", "quality", "table_maintenance", *FREQUENT})


def parsed_airflow(stack: "Stack", own: Path | None = None, own_ids: frozenset[str] = frozenset()) -> Settings:
    """Start Airflow and return when it knows all DAGs and has paused the `FREQUENT`; `own`: a file of more DAGs, with
    `own_ids`."""
    if own is not None:
        own_dags(stack.settings).mkdir(parents=True, exist_ok=True)
        shutil.copy(own, own_dags(stack.settings))
    settings = stack.ensure("airflow")
    with AirflowClient(settings) as client:
        client.wait_for_dags(DAGS | own_ids, timeout=300)
        for dag_id in FREQUENT:
            client.pause(dag_id)
    return settings
