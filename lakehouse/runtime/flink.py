"""Jobs on the Flink session cluster, driven over its REST API."""

import os
import subprocess
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, Final, TypeVar

import httpx

from lakehouse.checkpoints import current_checkpoint
from lakehouse.contracts.jobs import JobSpec
from lakehouse.contracts.tables import TABLES
from lakehouse.delta import create_table
from lakehouse.delta.installations import require_own
from lakehouse.flink_rest import call_flink
from lakehouse.runtime import flink_home
from lakehouse.runtime.bronze import begin_where_bronze_ends
from lakehouse.runtime.checkpoints import newest_checkpoint
from lakehouse.runtime.protocol import JobStatus, State, StopFailedError, SubmissionFailedError
from lakehouse.runtime.sources import starts_past_losses, verify_sources
from lakehouse.runtime.wanted import raise_generation, wanted_state
from lakehouse.services import ServiceDownError
from lakehouse.settings import ROOT, Settings

STATES: Final = {
    "INITIALIZING": State.STARTING,
    "CREATED": State.STARTING,
    "RUNNING": State.RUNNING,
    "RESTARTING": State.RESTARTING,
    "RECONCILING": State.RESTARTING,
    "SUSPENDED": State.RESTARTING,
    "FAILING": State.RESTARTING,
    "CANCELLING": State.STOPPING,
    "CANCELED": State.STOPPED,
    "FINISHED": State.STOPPED,
    "FAILED": State.FAILED,
}
"""Flink's job states in ours."""
_ENDED: Final = (State.STOPPED, State.FAILED)

SUBMISSION_SECONDS: Final = 180.0
STOP_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.25

T = TypeVar("T")


class FlinkAdapter:
    """A job is known on the cluster by its name with the namespace, its `pipeline.name`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = f"http://{settings.host}:{settings.flink_port}"

    def status(self, job: JobSpec) -> JobStatus:
        runs = self._runs(job)
        if not runs:
            return JobStatus(State.STOPPED, detail="not on the cluster")
        newest = runs[0]
        state = STATES[newest["state"]]
        completed, restored = self._checkpoints(newest)
        return JobStatus(
            state,
            handle=newest["jid"],
            detail=newest["state"].lower(),
            since_ms=newest["start-time"] if state.alive else None,
            checkpoint=completed["external_path"] if completed else None,
            checkpoint_ms=completed["latest_ack_timestamp"] if completed else None,
            restored=restored["external_path"] if restored else None,
            restarts=self._restarts(newest),
        )

    def _checkpoints(self, run: dict[str, Any]) -> tuple[Any, Any]:
        """The run's newest complete checkpoint and the one that it began from, None for what there is not.

        While a job is being set up Flink lists it and answers 500 when asked for its checkpoints.
        """
        try:
            latest = self._call("GET", f"/jobs/{run['jid']}/checkpoints")["latest"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code in (404, 500):
                return None, None
            raise
        return latest["completed"], latest["restored"]

    def _restarts(self, run: dict[str, Any]) -> int | None:
        """None for a run that has ended, or is being set up."""
        try:
            found = self._call("GET", f"/jobs/{run['jid']}/metrics?get=numRestarts")
        except httpx.HTTPStatusError as error:
            if error.response.status_code in (404, 500):
                return None
            raise
        return next((int(metric["value"]) for metric in found), None)

    def submit(self, job: JobSpec) -> str:
        """As the protocol says; new state begins a new generation, which goes into every row that the job writes.

        Raises ForeignTablesError too: the job would go on from another installation's checkpoints.
        """
        require_own(self._settings)
        if not self._call("GET", "/overview")["taskmanagers"]:
            raise ServiceDownError("flink-taskmanager", f"{self._url} (no TaskManager has registered)")
        checkpoint = newest_checkpoint(self._settings, job.name)
        verified = verify_sources(self._settings, job, fresh=checkpoint is None)
        if checkpoint is None:
            generation = raise_generation(self._settings, job.name)
        else:
            generation = wanted_state(self._settings, job.name).generation
        self._create_tables(job)
        positioned = checkpoint is None and job.positions_in_tables
        if positioned:
            begin_where_bronze_ends(self._settings)
        arguments = [
            *("--generation", str(generation)),
            *("--checkpoints", verified.location(self._settings, "s3")),
            *(("--restore", checkpoint) if checkpoint else ()),
            *(f"--topic={name}={topic_id}" for name, topic_id in verified.topics.items()),
            *(("--positioned",) if positioned else ()),
            *(("--past-losses",) if checkpoint and starts_past_losses(self._settings, job, verified) else ()),
        ]
        before = {run["jid"] for run in self._runs(job)}
        try:
            run = subprocess.run(
                [str(flink_home.python(self._settings)), "-m", job.entry_point, *arguments],
                cwd=ROOT,
                env=os.environ | self._environment(),
                capture_output=True,
                text=True,
                timeout=SUBMISSION_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SubmissionFailedError(
                f"{job.name} was not on the cluster within {SUBMISSION_SECONDS:.0f} s: {str(error.stderr)[-2000:]}"
            ) from None
        new = [r["jid"] for r in self._runs(job) if r["jid"] not in before]
        if run.returncode or not new:
            raise SubmissionFailedError(
                f"submitting {job.name} ended with {run.returncode}: {(run.stderr or run.stdout)[-2000:]}"
            )
        return str(new[0])

    def _create_tables(self, job: JobSpec) -> None:
        """Those that have a contract, or the columns that it has gained: the job itself could only create them."""
        for name in job.writes:
            if name in TABLES:
                create_table(self._settings, name)

    def stop(self, job: JobSpec, *, savepoint: bool = False) -> str | None:
        """Without a savepoint it is cancelled: its retained checkpoint is what it goes on from."""
        if not savepoint:
            self.cancel(job)
            return None
        alive = self._alive(job)
        if not alive:
            return None
        handle = alive[0]["jid"]
        # A job is RUNNING while its tasks are still being deployed, and a savepoint then fails.
        self._until(lambda: self._all_tasks_run(handle) or None, f"not all tasks of {job.name} ran")
        directory = current_checkpoint(self._settings, job.name).location(self._settings, "s3")
        request = self._call("POST", f"/jobs/{handle}/stop", {"targetDirectory": directory, "drain": False})
        path = f"/jobs/{handle}/savepoints/{request['request-id']}"
        answer = self._until(lambda: self._finished_savepoint(path), f"{job.name} took no savepoint")
        if "location" not in answer:
            reason = str(answer.get("failure-cause", {}).get("stack-trace", answer))[:500]
            raise StopFailedError(f"no savepoint of {job.name}, it goes on running: {reason}")
        self.cancel(job)  # a second run of the same name, if there ever is one
        return str(answer["location"])

    def cancel(self, job: JobSpec) -> None:
        self.cancel_runs([run["jid"] for run in self._alive(job)])
        self._until(lambda: True if not self._alive(job) else None, f"{job.name} did not end")

    def surplus(self, job: JobSpec) -> list[str]:
        """All living runs but the newest: a submitter that died may have left one that nobody counted."""
        return [run["jid"] for run in self._alive(job)[1:]]

    def cancel_runs(self, handles: list[str]) -> None:
        for handle in handles:
            self._call("PATCH", f"/jobs/{handle}?mode=cancel")

    def _environment(self) -> dict[str, str]:
        """Makes the submitting process find this adapter's installation, whatever the environment says."""
        seen = self._settings.for_jobs
        return {
            "PYTHONPATH": str(ROOT),
            "LAKEHOUSE_KAFKA_PORT": str(seen.kafka_port),
            "LAKEHOUSE_MINIO_PORT": str(seen.minio_port),
            "LAKEHOUSE_HOME": str(self._settings.home.absolute()),
            "LAKEHOUSE_CACHE": str(self._settings.cache.absolute()),
            "LAKEHOUSE_PORT_BASE": str(self._settings.port_base),
            "LAKEHOUSE_NAMESPACE": self._settings.namespace,
        }

    def _runs(self, job: JobSpec) -> list[dict[str, Any]]:
        """All runs that the cluster remembers, living ones first, then the latest first."""
        name = self._settings.prefixed(job.name)
        runs = [run for run in self._call("GET", "/jobs/overview")["jobs"] if run["name"] == name]
        return sorted(runs, key=lambda run: (STATES[run["state"]] in _ENDED, -run["start-time"]))

    def _alive(self, job: JobSpec) -> list[dict[str, Any]]:
        return [run for run in self._runs(job) if STATES[run["state"]] not in _ENDED]

    def _all_tasks_run(self, handle: str) -> bool:
        return all(task["status"] == "RUNNING" for task in self._call("GET", f"/jobs/{handle}")["vertices"])

    def _finished_savepoint(self, path: str) -> dict[str, Any] | None:
        answer = self._call("GET", path)
        return answer["operation"] if answer["status"]["id"] == "COMPLETED" else None

    def _until(self, ask: Callable[[], T | None], failure: str) -> T:
        deadline = monotonic() + STOP_SECONDS
        while (answer := ask()) is None:
            if monotonic() > deadline:
                raise StopFailedError(f"{failure} within {STOP_SECONDS:.0f} s; see {self._url}")
            sleep(_POLL_SECONDS)
        return answer

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return call_flink(self._settings, method, path, body)
