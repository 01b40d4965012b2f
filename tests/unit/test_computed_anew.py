"""A step of a micro-batch that meets another's commit is done anew, and only then."""

import pytest
from delta.exceptions import ConcurrentDeleteReadException, MetadataChangedException

from jobs.streaming.spark.refreshes import ATTEMPTS, computed_anew


class Step:
    """Fails with each of `errors`, then returns how often it was done."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.done = 0

    def __call__(self) -> int:
        self.done += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.done


def test_a_step_that_meets_no_other_commit_is_done_once() -> None:
    assert computed_anew(Step()) == 1


@pytest.mark.parametrize("kind", [ConcurrentDeleteReadException, MetadataChangedException])
def test_a_step_is_done_anew_after_another_s_commit(kind: type[Exception]) -> None:
    assert computed_anew(Step(kind("a"), kind("b"))) == 3


def test_a_step_that_meets_others_each_time_fails_the_batch() -> None:
    step = Step(*(ConcurrentDeleteReadException(str(n)) for n in range(99)))
    with pytest.raises(ConcurrentDeleteReadException):
        computed_anew(step)
    assert step.done == ATTEMPTS


def test_another_error_is_not_repeated() -> None:
    step = Step(ValueError("no conflict"))
    with pytest.raises(ValueError, match="no conflict"):
        computed_anew(step)
    assert step.done == 1
