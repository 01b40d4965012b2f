"""Wanted and actual states, on a real supervisor and a real Flink cluster."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.contracts.jobs import JOBS, JobSpec
from lakehouse.kafka.topics import create_topics
from lakehouse.runtime.checkpoints import newest_checkpoint
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.protocol import State
from lakehouse.runtime.reconcile import Step, begin_anew, due, reconcile, start, stop, view
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.runtime.wanted import JobBusyError, Wanted, job_lock, set_wanted, wanted_state
from lakehouse.settings import Settings
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

NOTIFIER, DASHBOARD = JOBS["notifier"], JOBS["live_dashboard"]


@pytest.fixture
def process(stack: "Stack") -> Iterator[Settings]:
    """A stack on which the notifier may run; it is stopped afterwards."""
    settings = stack.ensure("kafka", "postgres")
    create_topics(settings)
    yield settings
    stop(settings, NOTIFIER, "test")


@pytest.fixture(scope="module")
def flink(stack: "Stack") -> Iterator[Settings]:
    """A stack on which the live dashboard may run; it is stopped afterwards."""
    settings = stack.ensure("kafka", "postgres", "flink")
    create_topics(settings)
    yield settings
    stop(settings, DASHBOARD, "test")


def pid(settings: Settings) -> int | None:
    return Supervisor(settings).status(job_program(NOTIFIER.name)).pid


def catches(process: int, number: signal.Signals) -> bool:
    """Whether the process has come so far that it handles this signal itself."""
    (caught,) = re.findall(r"^SigCgt:\t(\w+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)


def running(settings: Settings) -> bool:
    return view(settings, NOTIFIER).healthy


def step(settings: Settings, job: JobSpec) -> Step:
    """What reconciling does; whether it is anything was to be known beforehand."""
    expected = due(settings, [job])
    (action,) = reconcile(settings, [job])
    assert bool(expected) == (action.step is not Step.NOTHING)
    return action.step


@pytest.mark.parametrize(("end", "how"), [(signal.SIGKILL, "terminated by SIGKILL"), (signal.SIGTERM, "exit status 0")])
def test_a_started_process_is_back_within_10_s_of_its_end_and_says_so(
    process: Settings, end: signal.Signals, how: str
) -> None:
    start(process, NOTIFIER, "test")
    until(lambda: running(process), 20)
    first = pid(process)
    assert first is not None
    until(lambda: catches(first, signal.SIGTERM), 20)

    os.kill(first, end)

    until(lambda: pid(process) not in (None, first), 10)
    found = view(process, NOTIFIER).actual
    assert found.restarts == 1
    assert f"ended by itself with {how}, and is started again" in found.detail
    assert wanted_state(process, NOTIFIER.name).wanted is Wanted.RUNNING


def test_a_stopped_process_stays_stopped(process: Settings) -> None:
    start(process, NOTIFIER, "test")
    until(lambda: running(process), 20)

    stop(process, NOTIFIER, "ana")

    assert step(process, NOTIFIER) is Step.NOTHING
    assert view(process, NOTIFIER).actual.restarts == 0
    assert pid(process) is None
    assert wanted_state(process, NOTIFIER.name).changed_by == "ana"


def test_a_wanted_process_that_the_supervisor_holds_stopped_is_started(process: Settings) -> None:
    start(process, NOTIFIER, "test")
    Supervisor(process).stop(job_program(NOTIFIER.name))

    assert step(process, NOTIFIER) is Step.SUBMITTED

    until(lambda: running(process), 20)


def test_an_unwanted_process_is_stopped(process: Settings) -> None:
    start(process, NOTIFIER, "test")
    until(lambda: running(process), 20)
    set_wanted(process, NOTIFIER.name, Wanted.STOPPED, "test")

    assert step(process, NOTIFIER) is Step.STOPPED

    assert pid(process) is None


def test_a_job_that_somebody_holds_is_left_to_them(process: Settings) -> None:
    set_wanted(process, NOTIFIER.name, Wanted.RUNNING, "test")
    with job_lock(process, NOTIFIER.name):
        assert [a.step for a in reconcile(process, [NOTIFIER])] == [Step.WAITED]
        with pytest.raises(JobBusyError), job_lock(process, NOTIFIER.name, wait=False):
            pass
    assert pid(process) is None


def test_a_lost_flink_job_goes_on_from_its_checkpoint_in_the_same_generation(flink: Settings) -> None:
    adapter = FlinkAdapter(flink)
    start(flink, DASHBOARD, "test")
    generation = wanted_state(flink, DASHBOARD.name).generation
    until(lambda: adapter.status(DASHBOARD).checkpoint, 90)
    lost = adapter.status(DASHBOARD)
    assert lost.checkpoint_ms is not None
    assert lost.since_ms is not None
    assert lost.since_ms < lost.checkpoint_ms
    until(lambda: adapter.status(DASHBOARD).restarts == 0, 60)  # Flink collects its metrics now and then

    adapter.cancel(DASHBOARD)  # behind the back of what is wanted
    assert step(flink, DASHBOARD) is Step.SUBMITTED

    until(lambda: adapter.status(DASHBOARD).state is State.RUNNING, 60)
    found = adapter.status(DASHBOARD)
    assert found.handle != lost.handle
    assert found.restored is not None
    assert int(found.restored.rpartition("chk-")[2]) >= int(lost.checkpoint.rpartition("chk-")[2])
    assert wanted_state(flink, DASHBOARD.name).generation == generation


def test_a_second_run_of_a_flink_job_is_cancelled(flink: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = FlinkAdapter(flink)
    stop(flink, DASHBOARD, "test")
    # The second begins where the first does: that checkpoint must not be followed by others meanwhile, and removed.
    monkeypatch.setenv("LAKEHOUSE_FLINK_CHECKPOINT_SECONDS", "600")
    start(flink, DASHBOARD, "test")
    second = adapter.submit(DASHBOARD)

    assert due(flink, [DASHBOARD])
    (action,) = reconcile(flink, [DASHBOARD])

    assert action.step is Step.CANCELLED_SURPLUS
    until(lambda: not adapter.surplus(DASHBOARD), 60)
    assert adapter.status(DASHBOARD).handle == second


def test_a_flink_job_stopped_with_a_savepoint_stays_stopped_and_goes_on_from_it(flink: Settings) -> None:
    adapter = FlinkAdapter(flink)
    start(flink, DASHBOARD, "test")
    until(lambda: adapter.status(DASHBOARD).state is State.RUNNING, 60)

    savepoint = stop(flink, DASHBOARD, "test", savepoint=True)

    assert savepoint is not None
    assert newest_checkpoint(flink, DASHBOARD.name) == savepoint
    assert step(flink, DASHBOARD) is Step.NOTHING
    assert adapter.status(DASHBOARD).state is State.STOPPED

    start(flink, DASHBOARD, "test")

    until(lambda: adapter.status(DASHBOARD).restored == savepoint, 60)


def test_a_flink_job_that_begins_anew_forgets_its_state_in_a_new_generation(flink: Settings) -> None:
    adapter = FlinkAdapter(flink)
    start(flink, DASHBOARD, "test")
    generation = wanted_state(flink, DASHBOARD.name).generation

    handle = begin_anew(flink, DASHBOARD, "test")

    until(lambda: adapter.status(DASHBOARD).state is State.RUNNING, 60)
    found = adapter.status(DASHBOARD)
    assert (found.handle, found.restored) == (handle, None)
    assert wanted_state(flink, DASHBOARD.name).generation == generation + 1
