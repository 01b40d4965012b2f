"""Flink's ingest and the follower are killed while events flow, at moments that are seen in the store: their tables
equal the reference, at a cut while more comes and when all has."""

import threading
from datetime import date
from typing import TYPE_CHECKING

import pytest

from experiments.faults.moments import Apart, Moment, Uncommitted, Unread, kill_in
from experiments.faults.schedule import TASK_MANAGER
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.contracts.tables import FOLLOWED, INGESTED
from lakehouse.drained import kafka_ends
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.settings import Settings
from tests.faults.killing import assert_equal_at_a_cut, flowing, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

PROGRAM = job_program(FOLLOWER)


def moments(settings: Settings) -> dict[str, tuple[str, Moment]]:
    """By what is seen then: what is killed, and when."""
    bought, clicked = (f"bronze.{name}{INGESTED}" for name in ("purchases", "clicks"))
    clicks, parts, sessions = (f"silver.{name}{FOLLOWED}" for name in ("clicks", "session_parts", "sessions"))
    return {
        "files of bronze without a commit": (TASK_MANAGER, Uncommitted(settings, clicked)),
        "one bronze table of a checkpoint committed and another not": (TASK_MANAGER, Apart(settings, clicked, bought)),
        "files of silver without a commit": (PROGRAM, Uncommitted(settings, clicks)),
        "silver committed and its first reader not": (PROGRAM, Unread(settings, clicks, parts)),
        "parts without sessions": (PROGRAM, Unread(settings, parts, sessions)),
    }


def test_what_they_make_is_exact_wherever_they_are_killed(stack: "Stack", seed: int) -> None:
    settings = stack.ensure("kafka", "minio", "postgres", "flink")
    killed = []
    with running(settings, JOBS[INGEST], JOBS[FOLLOWER]):
        with flowing(settings, date(2026, 3, 5), seed) as flow:
            for name, (program, moment) in moments(settings).items():
                pid = kill_in(settings, moment, program, threading.Event())
                killed.append((name, pid))
                known = (None, pid)
                until(lambda p=program, k=known: Supervisor(settings).status(p).pid not in k, 30, "it is back")  # type: ignore[misc]
            assert_equal_at_a_cut(settings, kafka_ends(settings))
            flow.hurry()
        assert_equal_at_a_cut(settings, kafka_ends(settings))
    assert len({pid for _, pid in killed}) == len(killed)
