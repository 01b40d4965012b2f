"""Carries out a replay, step by step: ``python -m jobs.batch.replay STEP NUMBER``.

Each step begins where an earlier attempt of it ended, so that a replay that was killed at any point goes on, and ends
the same.
"""

import logging
from collections.abc import Callable
from typing import Final

import polars as pl

from jobs.batch.replay.compare import compare
from jobs.batch.replay.recompute import recompute
from jobs.batch.replay.record import record
from jobs.batch.replay.swap import swap
from jobs.batch.replay.undo import undo
from jobs.streaming.spark.set_aside import Poison
from lakehouse.replay import store
from lakehouse.replay.staging import delete_staged
from lakehouse.replay.store import State
from lakehouse.settings import Settings

__all__ = ["CARRY_OUT", "carry_out"]

log = logging.getLogger("replay")

CARRY_OUT: Final[dict[str, Callable[[Settings, int], None]]] = {
    "recompute": recompute,
    "diff": compare,
    "swap": swap,
    "record": record,
    "undo": undo,
}
"""By the name of each of `lakehouse.replay.steps`."""

_OURS: Final = ("lakehouse", "jobs")
_PROGRAM_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    pl.exceptions.InvalidOperationError,
)
"""What a program raises over what it has in hand, and no service raises by being away."""


def carry_out(settings: Settings, step: str, number: int) -> None:
    """Carries out a step of a replay.

    An error is kept with the replay, where `lakehouse replay status` shows it. One that comes again however often the
    step is repeated makes the replay `failed`, so that the rows are free for another one; but never once its change set
    was handed over. After any other the replay goes on when the step is repeated.

    Raises whatever the step raises.
    """
    try:
        CARRY_OUT[step](settings, number)
    except Exception as error:
        _note(settings, step, number, error)
        raise


def _note(settings: Settings, step: str, number: int, error: Exception) -> None:
    why = f"{step}: {type(error).__name__}: {error}"
    try:
        if store.note_error(settings, number, why, final=_comes_again(error)) is State.FAILED:
            delete_staged(settings, number)
    except Exception:
        # What is told is the step's own error, which may well have the same cause.
        log.warning("the error could not be kept with replay %d", number, exc_info=True)


def _comes_again(error: Exception) -> bool:
    """Whether the error is of the data or of the program, as far as that is certain: an outage must end no replay."""
    if type(error).__module__.partition(".")[0] in _OURS:
        return False  # says by itself what is to be done, after which the step may do
    return isinstance(error, _PROGRAM_ERRORS) or Poison.found(error) is not None
