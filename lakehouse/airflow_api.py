"""Airflow's REST API, as far as the command line and the tests need it.

Calls follow Airflow 3.3's public API (`/api/v2`), authenticated by the simple auth manager's token.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import httpx

from lakehouse.settings import Settings

_POLL_SECONDS = 1.0
_BACKFILL_SECONDS = 300.0
FINISHED = frozenset({"success", "failed"})


class DagRunFailedError(RuntimeError):
    """A DAG run ended in another state than success."""

    def __init__(self, dag_id: str, run_id: str, state: str, tasks: dict[str, str], url: str) -> None:
        failed = ", ".join(f"{task} ({state})" for task, state in tasks.items() if state not in {"success", "skipped"})
        super().__init__(f"{dag_id} run {run_id} ended {state}: {failed or 'no task ran'}; its logs: {url}")


@dataclass(frozen=True, slots=True)
class DagRun:
    dag_id: str
    run_id: str
    state: str


class AirflowClient:
    """One logged-in session with the installation's Airflow; use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{settings.host}:{settings.airflow_port}"
        self._http = httpx.Client(base_url=self.url, timeout=60)
        answer = self._http.post(
            "/auth/token",
            json={"username": settings.airflow_user, "password": settings.airflow_password.get_secret_value()},
        )
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def __enter__(self) -> "AirflowClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **body: Any) -> Any:
        """JSON answer of ``/api/v2{path}``. Raises `httpx.HTTPStatusError` with the answer's text."""
        answer = self._http.request(method, f"/api/v2{path}", json=body or None)
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {answer.status_code} {answer.text[:500]}", request=answer.request, response=answer
            )
        return answer.json() if answer.content else None

    def has_dag(self, dag_id: str) -> bool:
        return self._http.get(f"/api/v2/dags/{dag_id}").is_success

    def wait_for_dags(self, dag_ids: Collection[str], timeout: float = 120.0) -> None:
        """Return when Airflow has read the files of all `dag_ids`: on a fresh installation it takes a while.

        Raises:
            TimeoutError: some are still unknown after `timeout` seconds, with Airflow's import errors.
        """
        deadline = monotonic() + timeout
        while missing := sorted(dag_id for dag_id in dag_ids if not self.has_dag(dag_id)):
            if monotonic() > deadline:
                errors = [e["stack_trace"] for e in self.call("GET", "/importErrors")["import_errors"]]
                raise TimeoutError(f"Airflow knows no {', '.join(missing)} after {timeout:.0f} s; {errors or ''}")
            sleep(_POLL_SECONDS)

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start: a paused DAG leaves them queued without a word."""
        self.call("PATCH", f"/dags/{dag_id}", is_paused=False)

    def pause(self, dag_id: str) -> None:
        """Start none of the DAG's runs from now on, by schedule or by hand."""
        self.call("PATCH", f"/dags/{dag_id}", is_paused=True)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> DagRun:
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", logical_date=None, conf=conf or {})
        return DagRun(dag_id, run["dag_run_id"], run["state"])

    def run_state(self, run: DagRun) -> str:
        return str(self.call("GET", f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}")["state"])

    def task_states(self, run: DagRun) -> dict[str, str]:
        tasks = self.call("GET", f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances?limit=200")
        return {t["task_id"]: str(t["state"]) for t in tasks["task_instances"]}

    def wait(self, run: DagRun, timeout: float, progress: Callable[[dict[str, str]], None] | None = None) -> None:
        """Return when `run` succeeded.

        Raises:
            DagRunFailedError: it ended otherwise; the message names the tasks.
            TimeoutError: it has not ended within `timeout` seconds.
        """
        deadline = monotonic() + timeout
        while (state := self.run_state(run)) not in FINISHED:
            if monotonic() > deadline:
                raise TimeoutError(f"{run.dag_id} run {run.run_id} is still {state} after {timeout:.0f} s")
            if progress:
                progress(self.task_states(run))
            sleep(_POLL_SECONDS)
        if state != "success":
            url = f"{self.url}/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}"
            raise DagRunFailedError(run.dag_id, run.run_id, state, self.task_states(run), url)

    def backfill(self, dag_id: str, first: date, last: date, conf: dict[str, Any] | None = None) -> int:
        """Start Airflow's own backfill of the data intervals of `first` to `last`, both included; its id.

        A DAG has one active backfill at a time, and Airflow notes only each half minute that one has ended: wait for
        that first.

        Raises:
            TimeoutError: another backfill is still active after `_BACKFILL_SECONDS`.
        """
        deadline = monotonic() + _BACKFILL_SECONDS
        while any(b["completed_at"] is None for b in self.call("GET", f"/backfills?dag_id={dag_id}")["backfills"]):
            if monotonic() > deadline:
                raise TimeoutError(f"another backfill of {dag_id} is still active after {_BACKFILL_SECONDS:.0f} s")
            sleep(_POLL_SECONDS)
        backfill = self.call(
            "POST",
            "/backfills",
            dag_id=dag_id,
            from_date=f"{first}T00:00:00Z",
            to_date=f"{last}T00:00:00Z",
            reprocess_behavior="completed",
            max_active_runs=2,
            dag_run_conf=conf or {},
        )
        return int(backfill["id"])

    def backfill_runs(self, dag_id: str, first: date, last: date) -> list[DagRun]:
        """The runs that Airflow made for the days `first` to `last`; `backfill` makes them before it answers."""
        window = f"logical_date_gte={first}T00:00:00Z&logical_date_lte={last}T23:59:59Z"
        runs = self.call("GET", f"/dags/{dag_id}/dagRuns?{window}&run_type=backfill&limit=1000")["dag_runs"]
        return [DagRun(dag_id, r["dag_run_id"], r["state"]) for r in runs]
