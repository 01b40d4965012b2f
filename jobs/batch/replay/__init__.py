"""Carries out a replay, step by step: ``python -m jobs.batch.replay STEP NUMBER``.

Each step begins where an earlier attempt of it ended, so that a replay that was killed at any point goes on, and ends
the same.
"""

from collections.abc import Callable
from typing import Final

from jobs.batch.replay.compare import compare
from jobs.batch.replay.recompute import recompute
from jobs.batch.replay.record import record
from jobs.batch.replay.swap import swap
from jobs.batch.replay.undo import undo
from lakehouse.settings import Settings

__all__ = ["CARRY_OUT", "undo"]

CARRY_OUT: Final[dict[str, Callable[[Settings, int], None]]] = {
    "recompute": recompute,
    "diff": compare,
    "swap": swap,
    "record": record,
    "undo": undo,
}
"""By the name of each of `lakehouse.replay.steps`."""
