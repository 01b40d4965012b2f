"""The follower is killed while events flow, at moments that are seen in the store: its tables equal the reference."""

import threading
from datetime import date
from typing import TYPE_CHECKING

import pytest

from infra.faults.moments import Moment, Uncommitted, Unread, kill_in
from jobs.follower.cycle import Follower
from jobs.follower.lake import Lake
from lakehouse.compare import compare
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.drained import wait_until_drained
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.settings import Settings
from tests.faults.killing import PATIENCE_SECONDS, WITHOUT_EVENTS, flowing, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

PROGRAM = job_program(FOLLOWER)
COMPARED = [f"{name}{FOLLOWED}" for name in DERIVED if name not in WITHOUT_EVENTS]


def moments(settings: Settings) -> dict[str, Moment]:
    clicks, parts, sessions = (f"silver.{name}{FOLLOWED}" for name in ("clicks", "session_parts", "sessions"))
    return {
        "files without a commit": Uncommitted(settings, clicks),
        "silver committed and its first reader not": Unread(settings, clicks, parts),
        "parts without sessions": Unread(settings, parts, sessions),
    }


def test_what_it_makes_is_exact_wherever_it_is_killed(stack: "Stack", seed: int) -> None:
    settings = stack.ensure("kafka", "minio", "postgres", "flink")
    spark, transactions, follower = JOBS[SPARK_INGEST], JOBS[INGEST_TRANSACTIONS], JOBS[FOLLOWER]
    killed = []
    with running(settings, spark, transactions, follower):
        with flowing(settings, date(2026, 3, 5), seed) as flow:
            for name, moment in moments(settings).items():
                pid = kill_in(settings, moment, PROGRAM, threading.Event())
                killed.append((name, pid))
                until(lambda pid=pid: Supervisor(settings).status(PROGRAM).pid not in (None, pid), 30, "it is back")  # type: ignore[misc]
            flow.hurry()
        ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    for _ in Follower(Lake(settings, FOLLOWED)).settle():
        pass
    comparison = compare(settings, COMPARED, ends)
    assert [t for t in comparison.tables if not t.equal] == []
    assert len({pid for _, pid in killed}) == len(killed)
