"""Work with an end under a real supervisor: one process per try, and stops that reach no newer one."""

from typing import TYPE_CHECKING
from uuid import uuid4

import psutil
import pytest

from infra.local import batch
from infra.local.batch import Outcome, Submission
from lakehouse.runtime import submissions
from lakehouse.runtime.submissions import StaleTryError
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

ENDLESS = ("http.server", ("0", "--bind", "127.0.0.1"))
"""A module that runs until it is stopped, and its arguments."""


@pytest.fixture(scope="module")
def settings(stack: "Stack") -> Settings:
    return stack.ensure("postgres")


@pytest.fixture
def work() -> str:
    return f"test/{uuid4()}"


def pid(settings: Settings, submission: Submission) -> int:
    found = Supervisor(settings).status(submission.program).pid
    assert found is not None
    return found


def test_its_exit_status_is_the_outcome(settings: Settings, work: str) -> None:
    good, bad = Submission(work, 1), Submission(work, 2)

    batch.submit(settings, good, "this", ())
    until(lambda: batch.outcome(settings, good) is not Outcome.RUNNING)
    assert batch.outcome(settings, good) is Outcome.SUCCEEDED

    batch.submit(settings, bad, "no_such_module", ())
    until(lambda: batch.outcome(settings, bad) is not Outcome.RUNNING)
    assert batch.outcome(settings, bad) is Outcome.FAILED


def test_submitting_a_try_again_starts_nothing(settings: Settings, work: str) -> None:
    submission = Submission(work, 1)
    batch.submit(settings, submission, *ENDLESS)
    running = pid(settings, submission)

    batch.submit(settings, submission, *ENDLESS)

    assert pid(settings, submission) == running
    batch.stop(settings, submission)
    assert not psutil.pid_exists(running)


def test_a_new_try_ends_the_old_one_first(settings: Settings, work: str) -> None:
    first, second = Submission(work, 1), Submission(work, 2)
    batch.submit(settings, first, *ENDLESS)
    old = pid(settings, first)

    batch.submit(settings, second, *ENDLESS)

    assert not psutil.pid_exists(old)
    assert batch.outcome(settings, first) is Outcome.GONE
    assert batch.outcome(settings, second) is Outcome.RUNNING
    batch.stop(settings, second)


def test_the_old_try_s_late_stop_leaves_the_new_try_alone(settings: Settings, work: str) -> None:
    first, second = Submission(work, 1), Submission(work, 2)
    batch.submit(settings, first, *ENDLESS)
    batch.submit(settings, second, *ENDLESS)

    batch.stop(settings, first)

    assert batch.outcome(settings, second) is Outcome.RUNNING
    batch.stop(settings, second)


def test_a_try_stopped_before_it_submits_never_starts(settings: Settings, work: str) -> None:
    submission = Submission(work, 1)
    batch.stop(settings, submission)

    with pytest.raises(StaleTryError, match="it was stopped"):
        batch.submit(settings, submission, *ENDLESS)

    assert batch.outcome(settings, submission) is Outcome.GONE


def test_an_older_try_never_starts_after_a_newer_one(settings: Settings, work: str) -> None:
    batch.submit(settings, Submission(work, 2), *ENDLESS)

    with pytest.raises(StaleTryError, match="try 2 has replaced it"):
        batch.submit(settings, Submission(work, 1), *ENDLESS)

    batch.stop(settings, Submission(work, 2))


def test_work_that_nobody_waits_for_is_stopped_when_its_lease_ends(
    settings: Settings, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten, awaited = Submission(work, 1), Submission(f"{work}/awaited", 1)
    batch.submit(settings, awaited, *ENDLESS)
    monkeypatch.setattr(submissions, "LEASE_SECONDS", 0)
    batch.submit(settings, forgotten, *ENDLESS)
    process = pid(settings, forgotten)

    ended = batch.stop_forgotten(settings)

    assert forgotten.program in ended
    assert awaited.program not in ended
    assert not psutil.pid_exists(process)
    monkeypatch.undo()
    assert batch.outcome(settings, awaited) is Outcome.RUNNING
    batch.stop(settings, awaited)
