"""From a kill to recovered, per job: `python -m benchmarks.recovery`. Needs the whole stack up and its jobs running.

What is killed gets SIGKILL with all its descendants. *Back*: the supervisor has started it again. *Recovered*: all
that was sent right after the kill has passed the job; of the scheduler: it reports that it is healthy. A lost Flink
job is resubmitted by `reconcile`, called over and over here and each minute by the DAG `streaming_jobs`: add up to a
minute to the figure.
"""

import argparse
import json
import os
import signal
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import httpx
import psutil

from infra.local.machine import describe
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.drained import lags
from lakehouse.drained.positions import DASHBOARD_WRITER, LIVE_DASHBOARD, NOTIFIER
from lakehouse.generator.traffic import ShopDay
from lakehouse.produce import send_day
from lakehouse.runtime.protocol import SubmissionFailedError
from lakehouse.runtime.reconcile import reconcile
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings, load_settings

RESULT = Path(__file__).with_name("results") / "recovery.json"
PATIENCE_SECONDS = 600
EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Victim:
    """A program to kill, and the job whose passing of new events shows that it has recovered; None: a scheduler."""

    program: str
    job: str | None


VICTIMS = (
    Victim(job_program(SPARK_INGEST), SPARK_INGEST),
    Victim("flink-taskmanager", LIVE_DASHBOARD),
    Victim("flink-jobmanager", LIVE_DASHBOARD),
    Victim(job_program(DASHBOARD_WRITER), DASHBOARD_WRITER),
    Victim(job_program(NOTIFIER), NOTIFIER),
    Victim("airflow-scheduler", None),
)


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_SECONDS} s")
        sleep(0.1)


def passed(settings: Settings, job: str) -> bool:
    """Whether the job has read all, resubmitting it first if the cluster has lost it."""
    try:
        reconcile(settings, [JOBS[job]])
        return not any(lag.lag for lag in lags(settings, [job]))
    except (ServiceDownError, SubmissionFailedError):
        return False


def healthy(settings: Settings) -> bool:
    try:
        return httpx.get(f"http://{settings.host}:{settings.airflow_scheduler_health_port}/health").is_success
    except httpx.TransportError:
        return False


def measure(settings: Settings, victim: Victim, seed: int) -> dict[str, float]:
    supervisor = Supervisor(settings)
    pid = supervisor.status(victim.program).pid
    if pid is None:
        raise SystemExit(f"{victim.program} doesn't run: `lakehouse up`, then `lakehouse job start` each job")
    leader = psutil.Process(pid)
    victims = [leader, *leader.children(recursive=True)]
    killed = monotonic()
    for process in victims:
        os.kill(process.pid, signal.SIGKILL)
    wait(lambda: supervisor.status(victim.program).pid not in (None, pid), f"{victim.program} back")
    back = monotonic() - killed
    if victim.job is None:
        wait(lambda: healthy(settings), victim.program)
    else:
        job = victim.job
        send_day(settings, ShopDay(date(2026, 3, 10), EVENTS, EVENTS // 100, seed), judged=False)
        wait(lambda: passed(settings, job), f"{job} recovered")
    return {"back_seconds": round(back, 1), "recovered_seconds": round(monotonic() - killed, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time()))
    arguments = parser.parse_args()
    settings, machine = load_settings(), describe()
    results: list[dict[str, Any]] = []
    for number, victim in enumerate(VICTIMS):
        rounds = [measure(settings, victim, arguments.seed + 10 * number + r) for r in range(arguments.rounds)]
        medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        results.append({"killed": victim.program, "job": victim.job, **medians, "rounds": rounds})
        print(results[-1])
    result = {"benchmark": "recovery", "machine": machine, "seed": arguments.seed, "events": EVENTS, "killed": results}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
