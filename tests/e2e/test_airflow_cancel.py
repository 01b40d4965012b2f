"""Cancelling a task stops the remote process that it waits for, whoever waits: the task or its trigger."""

from collections.abc import Callable, Iterator
from time import monotonic, sleep
from urllib.parse import quote

import psutil
import pytest

from infra.local.batch import Submission, work_of
from lakehouse.airflow_api import AirflowClient, DagRun
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings

pytestmark = pytest.mark.stack

WAITING = {"endless_deferred": "deferred", "endless_held": "running"}
"""The state of the task while its process runs."""


@pytest.fixture
def start(airflow: AirflowClient, airflow_stack: Settings) -> Iterator[Callable[[str], "Waiting"]]:
    """Triggers a DAG; the run is failed and its process ended when the test is over."""
    started: list[Waiting] = []

    def start(dag_id: str) -> Waiting:
        started.append(Waiting(airflow, airflow_stack, dag_id))
        return started[-1]

    yield start
    for waiting in started:
        waiting.fail_run()
        waiting.until(lambda: not waiting.programs(), 60)  # noqa: B023


@pytest.fixture(params=WAITING)
def waiting(request: pytest.FixtureRequest, start: Callable[[str], "Waiting"]) -> "Waiting":
    """A run whose task waits for its living process."""
    waiting = start(request.param)
    waiting.until(lambda: waiting.waits() and waiting.pid(1) is not None, 60)
    return waiting


class Waiting:
    def __init__(self, airflow: AirflowClient, settings: Settings, dag_id: str) -> None:
        self.airflow, self.supervisor = airflow, Supervisor(settings)
        self.run: DagRun = airflow.trigger(dag_id)
        self._first = Submission(work_of(dag_id, self.run.run_id, "work", -1), 1).program.removesuffix("1")

    def mark_failed(self) -> None:
        self.airflow.call("PATCH", f"{self._path()}/taskInstances/work", new_state="failed")

    def fail_run(self) -> None:
        self.airflow.call("PATCH", self._path(), state="failed")

    def _path(self) -> str:
        return f"/dags/{self.run.dag_id}/dagRuns/{quote(self.run.run_id, safe='')}"

    def state(self) -> str:
        return self.airflow.task_states(self.run).get("work", "none")

    def waits(self) -> bool:
        """Whether somebody waits for the process: the task, or a trigger that a triggerer has taken up."""
        return self.state() == WAITING[self.run.dag_id] and (self.state() != "deferred" or self._trigger_runs())

    def _trigger_runs(self) -> bool:
        task = self.airflow.call("GET", f"{self._path()}/taskInstances/work")
        return bool(task["trigger"] and task["trigger"]["triggerer_id"])

    def programs(self) -> dict[int, int | None]:
        """Pids by try, of the programs that the supervisor has for this run."""
        found = {n: p.pid for n, p in self.supervisor.programs().items() if n.startswith(self._first)}
        return {int(name.removeprefix(self._first)): pid for name, pid in found.items()}

    def pid(self, try_number: int) -> int | None:
        return self.programs().get(try_number)

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = monotonic() + seconds
        while not condition():
            assert monotonic() < deadline, f"task {self.state()}, programs {self.programs()} after {seconds} s"
            sleep(0.2)


def test_mark_failed_ends_the_process(waiting: Waiting) -> None:
    pid = waiting.pid(1)

    waiting.mark_failed()

    waiting.until(lambda: not psutil.pid_exists(pid) and not waiting.programs(), 30)
    assert waiting.state() == "failed"


def test_mark_failed_ends_the_process_before_a_triggerer_knows_of_it(start: Callable[[str], Waiting]) -> None:
    waiting = start("endless_deferred")
    waiting.until(lambda: waiting.state() == "deferred", 60)
    pid = waiting.pid(1)
    assert pid is not None

    waiting.mark_failed()

    waiting.until(lambda: not psutil.pid_exists(pid) and not waiting.programs(), 30)


def test_clear_ends_the_process_and_the_new_try_runs_alone(waiting: Waiting) -> None:
    pid = waiting.pid(1)

    waiting.airflow.call(
        "POST",
        f"/dags/{waiting.run.dag_id}/clearTaskInstances",
        dry_run=False,
        dag_run_id=waiting.run.run_id,
        task_ids=["work"],
        only_failed=False,
    )

    waiting.until(lambda: not psutil.pid_exists(pid) and waiting.pid(2) is not None, 60)
    second = waiting.pid(2)
    waiting.until(waiting.waits, 60)
    assert waiting.programs() == {2: second}, "the old try's stop must not reach the new one"
