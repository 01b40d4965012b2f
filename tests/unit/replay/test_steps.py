"""What is shown of a replay is what is carried out."""

from jobs.batch.replay import CARRY_OUT
from lakehouse.replay.steps import STEPS, UNDO


def test_each_step_that_is_shown_can_be_carried_out() -> None:
    assert list(CARRY_OUT) == [step.name for step in (*STEPS, UNDO)]
