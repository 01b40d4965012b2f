"""The follower on a cluster of Spark is killed while events flow, its executors too, and takes turns with the one that
runs its SQL itself: the tables equal the reference, at a cut while more comes and when all has."""

import threading
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from experiments.faults.moments import Uncommitted, Unread, kill_in
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.drained import kafka_ends
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.settings import Settings, load_settings
from tests.faults.killing import assert_equal_at_a_cut, flowing, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1800)]

PROGRAM = job_program(FOLLOWER)
CLUSTER = {"LAKEHOUSE_SPARK_WORKERS": "2", "LAKEHOUSE_SPARK_ROWS": "0"}
"""However few rows a step reads."""


def executors(settings: Settings) -> list[dict[str, Any]]:
    """The live ones as Spark's pages tell of them; none while the driver starts."""
    try:
        (application,) = httpx.get(f"http://{settings.host}:{settings.spark_ui_port}/api/v1/applications").json()
        pages = f"http://{settings.host}:{settings.spark_ui_port}/api/v1/applications/{application['id']}"
        found = httpx.get(f"{pages}/executors").json()
    except (httpx.HTTPError, ValueError):
        return []
    return [each for each in found if each["id"] != "driver" and each["isActive"]]


def both_work(settings: Settings) -> bool:
    return sum(each["completedTasks"] > 0 for each in executors(settings)) == 2


def kill_executor(settings: Settings) -> None:
    """The one of the first worker."""
    supervised = Supervisor(settings).status("spark-worker-1").pid
    assert supervised is not None
    (executor,) = psutil.Process(supervised).children()
    executor.kill()


def engine(stack: "Stack", monkeypatch: pytest.MonkeyPatch, name: str) -> Settings:
    """What a follower that is started from now on runs its SQL by."""
    monkeypatch.setenv("LAKEHOUSE_FOLLOWER", name)
    load_settings.cache_clear()
    return stack.ensure("kafka", "minio", "postgres", "flink", "spark")


def again(settings: Settings) -> None:
    """The follower, as an operator stops and starts it."""
    Supervisor(settings).stop(PROGRAM)
    Supervisor(settings).start(PROGRAM)


@pytest.fixture
def settings(stack: "Stack", monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with monkeypatch.context() as patch:
        for name, value in CLUSTER.items():
            patch.setenv(name, value)
        yield engine(stack, patch, "spark")
    load_settings.cache_clear()
    stack.ensure("minio")  # without a cluster among the services


def test_on_a_cluster_they_are_exact_wherever_they_are_killed_and_whichever_engine_goes_on(
    stack: "Stack", settings: Settings, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks, parts = (f"silver.{name}{FOLLOWED}" for name in ("clicks", "session_parts"))
    unread = Unread(settings, clicks, parts)
    with running(settings, JOBS[INGEST], JOBS[FOLLOWER]):
        with flowing(settings, date(2026, 3, 6), seed) as flow:
            until(lambda: both_work(settings), 120, "both workers work")
            kill_executor(settings)
            for moment in (Uncommitted(settings, clicks), unread):
                until(lambda: not unread.now(), 120, "a cycle has got as far as the first reader")
                kill_in(settings, moment, PROGRAM, threading.Event())
            again(engine(stack, monkeypatch, "datafusion"))
            assert_equal_at_a_cut(settings, kafka_ends(settings))
            again(engine(stack, monkeypatch, "spark"))
            flow.hurry()
        assert_equal_at_a_cut(settings, kafka_ends(settings))
        assert both_work(settings)
