"""The DAG files parse, say what they do, and touch nothing while they are parsed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.airflow.metadata import POOLS, REPLAY
from jobs.rust_engines.publish import MARTS
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import TABLES
from lakehouse.kafka.topics import TOPICS
from lakehouse.settings import ROOT

PARSE = """
import json, socket, sys, uuid
from datetime import UTC, datetime, timedelta

def refuse(*arguments, **_):
    raise AssertionError(f"a connection while parsing: {arguments}")

socket.socket.connect = refuse
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from jinja2 import UndefinedError

AT = datetime(2026, 3, 5, 0, 30, tzinfo=UTC)

def described(parameter):
    return parameter.description and parameter.schema.get("title")

def context(task, start, conf):
    run = DagRun(dag_id=task.dag_id, run_id="manual__1", logical_date=start, data_interval_start=start,
                 data_interval_end=start, run_after=AT, start_date=AT, end_date=None, run_type="manual",
                 state="running", conf=conf, consumed_asset_events=[], partition_key=None)
    return RuntimeTaskInstance.model_construct(
        id=uuid.uuid4(), task=task, task_id=task.task_id, dag_id=task.dag_id, run_id=run.run_id, try_number=1,
        map_index=-1, start_date=AT, _ti_context_from_server=TIRunContext(dag_run=run, max_tries=0),
    ).get_template_context()

def undefined(task):
    for name in () if task.is_mapped else task.template_fields:
        try:
            task.render_template(getattr(task, name), context(task, None, {}))
        except UndefinedError as error:
            yield f"{task.dag_id}.{task.task_id}.{name}: {error}"
        except ImportError:
            pass  # it asks for what an earlier task returned, of which there is none here

def day(start, conf):
    gate = bag.dags["backfill_marts"].task_dict["check_silver_clicks"]
    return gate.render_template(gate.op_kwargs, context(gate, start, conf))["day"]

import infra.airflow.listener  # every process of Airflow's loads it with its plugins
bag = DagBag(sys.argv[1])
engines = [name for name in ("pyspark", "pyflink", "polars", "datafusion", "deltalake", "great_expectations")
           if name in sys.modules]
print(json.dumps({
    "errors": bag.import_errors,
    "engines": engines,
    "undefined": [each for dag in bag.dags.values() for task in dag.tasks for each in undefined(task)],
    "days": [day(AT - timedelta(days=3), {}), day(None, {}), day(None, {"day": "2026-02-01"})],
    "dags": {d.dag_id: {
        "doc": d.doc_md or "",
        "catchup": d.catchup,
        "tasks": {t.task_id: sorted(t.upstream_task_ids) for t in d.tasks},
        "pools": {t.task_id: t.pool for t in d.tasks if t.pool != "default_pool"},
        "undescribed": [n for n in d.params if not described(d.params.get_param(n))],
        "assets": sorted({a.name for t in d.tasks for a in (*t.inlets, *t.outlets)}),
        "addresses": sorted({(a.name, a.uri) for t in d.tasks for a in (*t.inlets, *t.outlets)}),
        "written": sorted({a.name for t in d.tasks for a in t.outlets}),
    } for d in bag.dags.values()},
}))
"""


def without_database(home: Path) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'missing' / 'airflow.db'}",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh interpreter finds, without a database: Airflow reads its configuration when it is imported."""
    environment = without_database(tmp_path_factory.mktemp("airflow"))
    run = subprocess.run(
        [sys.executable, "-c", PARSE, str(ROOT / "dags")], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


OF_SPARK = ("rebuild",) if CORE is Core.SPARK else ()


def test_no_import_errors(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == {
        "streaming_jobs", "backfill_marts", "catalog_refresh", "dead_letters", "quality", *OF_SPARK,
        "table_maintenance", "audit", "replay", "replay_undo", "parity", "upgrade", "lambda_batch",
        "compare_architectures",
    }  # fmt: skip


def test_maintenance_takes_one_table_after_the_other(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["table_maintenance"]["tasks"] == {"written_tables": [], "maintain": ["written_tables"]}


def test_parsing_starts_no_engine(parsed: dict[str, Any]) -> None:
    assert parsed["engines"] == []


def test_every_dag_and_parameter_is_described_and_none_catches_up(parsed: dict[str, Any]) -> None:
    for name, dag in parsed["dags"].items():
        heading, _, text = dag["doc"].strip().partition("\n")
        assert heading.startswith("### "), name
        assert len(text.split()) > 20, name
        assert dag["undescribed"] == [], name
        assert dag["catchup"] is False, name


def test_a_task_per_job(parsed: dict[str, Any]) -> None:
    beside = {"look", "forgotten_work", "superseded_values", "lag"}
    assert set(parsed["dags"]["streaming_jobs"]["tasks"]) == JOBS.keys() | beside


def test_assets_are_declared_tables_and_topics(parsed: dict[str, Any]) -> None:
    for name, dag in parsed["dags"].items():
        assert set(dag["assets"]) <= TABLES.keys() | TOPICS.keys(), name


def test_an_asset_has_one_address(parsed: dict[str, Any]) -> None:
    """Airflow knows one of each name, and fails the tasks that name another."""
    found = {(name, address) for dag in parsed["dags"].values() for name, address in dag["addresses"]}
    assert sorted(name for name, _ in found) == sorted({name for name, _ in found})


def test_every_dag_is_joined_to_what_it_reads_or_writes_but_those_that_change_no_data_here(
    parsed: dict[str, Any],
) -> None:
    unjoined = {name for name, dag in parsed["dags"].items() if not dag["assets"]}
    assert unjoined == {"table_maintenance", "upgrade", "compare_architectures"}


def test_what_a_dag_writes_is_its_own(parsed: dict[str, Any]) -> None:
    written = {name: dag["written"] for name, dag in parsed["dags"].items() if dag["written"]}
    assert written == {
        "audit": ["ops.ledger"],
        "backfill_marts": [
            "marts.product_daily",
            "marts.region_daily",
            "marts.session_funnel",
            "ops.quality_results",
            "quarantine.rows",
            "shop.alerts",
        ],
        "catalog_refresh": ["shop.products", "shop.profiles"],
        "lambda_batch": [
            "lambda.batch_events",
            "lambda.batch_product_metrics_5m",
            "lambda.batch_region_revenue_daily",
            "lambda.batch_sessions",
        ],
        "dead_letters": ["ops.quality_results", "shop.alerts"],
        "parity": ["ops.parity", "shop.alerts"],
        "quality": ["ops.quality_results", "quarantine.rows", "shop.alerts"],
        "replay": ["ops.replays"],
    }


def test_versions_that_were_set_aside_fail_their_task_by_name(tmp_path: Path) -> None:
    call = """
import sys
from airflow.dag_processing.dagbag import DagBag
task = DagBag(sys.argv[1]).dags["catalog_refresh"].get_task("all_are_events")
task.python_callable({"set_aside": 0, "named": []})
task.python_callable({"set_aside": 1, "named": ["catalog.product_versions, seq 7, product_id 'p1': too_large"]})
"""
    run = subprocess.run(
        [sys.executable, "-c", call, str(ROOT / "dags" / "catalog_refresh.py")],
        env=without_database(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "AirflowFailException: 1 versions set aside" in run.stderr
    assert "catalog.product_versions, seq 7, product_id 'p1': too_large. Correct each" in run.stderr


def test_recomputations_wait_for_each_other_in_a_pool_that_the_stack_makes(parsed: dict[str, Any]) -> None:
    pools = {name: dag["pools"] for name, dag in parsed["dags"].items() if dag["pools"]}
    assert pools == {"replay": {"recompute": REPLAY.name}}
    assert REPLAY in POOLS


def test_a_mart_waits_for_the_suites_of_all_that_it_reads(parsed: dict[str, Any]) -> None:
    tasks = parsed["dags"]["backfill_marts"]["tasks"]
    for mart in MARTS.values():
        gates = sorted(f"check_{name.replace('.', '_')}" for name in mart.reads)
        assert tasks[mart.name.removeprefix("marts.")] == gates


def test_no_template_supposes_that_a_run_has_a_logical_date(parsed: dict[str, Any]) -> None:
    assert parsed["undefined"] == []


def test_marts_are_built_of_the_interval_or_the_day_before_or_the_given_day(parsed: dict[str, Any]) -> None:
    assert parsed["days"] == ["2026-03-02", "2026-03-04", "2026-02-01"]
