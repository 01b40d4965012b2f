"""The DAG files parse, say what they do, and touch nothing while they are parsed."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from jobs.catalog import JOBS
from jobs.rust_engines.publish import MARTS
from lakehouse.settings import ROOT

PARSE = """
import json, socket, sys

def refuse(*arguments, **_):
    raise AssertionError(f"a connection while parsing: {arguments}")

socket.socket.connect = refuse
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
engines = [name for name in ("pyspark", "pyflink", "polars", "datafusion", "deltalake", "great_expectations")
           if name in sys.modules]
print(json.dumps({
    "errors": bag.import_errors,
    "engines": engines,
    "dags": {d.dag_id: {
        "doc": d.doc_md or "",
        "catchup": d.catchup,
        "tasks": {t.task_id: sorted(t.upstream_task_ids) for t in d.tasks},
        "undescribed": [n for n, p in d.params.items() if not d.params.get_param(n).description],
    } for d in bag.dags.values()},
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh interpreter finds, without a database: Airflow reads its configuration when it is imported."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'missing' / 'airflow.db'}",
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(
        [sys.executable, "-c", PARSE, str(ROOT / "dags")], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_no_import_errors(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == {
        "streaming_jobs", "backfill_marts", "catalog_refresh", "quality", "rebuild", "table_maintenance", "audit",
        "replay", "replay_undo",
    }  # fmt: skip


def test_maintenance_takes_one_table_after_the_other(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["table_maintenance"]["tasks"] == {"written_tables": [], "maintain": ["written_tables"]}


def test_parsing_starts_no_engine(parsed: dict[str, Any]) -> None:
    assert parsed["engines"] == []


def test_every_dag_and_parameter_is_described_and_none_catches_up(parsed: dict[str, Any]) -> None:
    for name, dag in parsed["dags"].items():
        assert dag["doc"].strip(), name
        assert dag["undescribed"] == [], name
        assert dag["catchup"] is False, name


def test_a_task_per_job(parsed: dict[str, Any]) -> None:
    assert set(parsed["dags"]["streaming_jobs"]["tasks"]) == {*JOBS, "forgotten_work", "superseded_values"}


def test_a_mart_waits_for_the_suites_of_all_that_it_reads(parsed: dict[str, Any]) -> None:
    tasks = parsed["dags"]["backfill_marts"]["tasks"]
    for mart in MARTS.values():
        gates = sorted(f"check_{name.replace('.', '_')}" for name in mart.reads)
        assert tasks[mart.name.removeprefix("marts.")] == gates
