"""What a step finds of the steps before it, and what all steps ask."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from lakehouse.contracts.graph import STREAM
from lakehouse.delta import scan
from lakehouse.replay.plan import Plan
from lakehouse.replay.store import Replay, ReplayError, State
from lakehouse.runtime.code_in_force import code_version, running
from lakehouse.settings import Settings

Bounds = Mapping[str, Mapping[int, int]]
"""By topic and partition, the highest offset of an event that counts."""


def label_of(number: int) -> str:
    """What commits of a replay say of themselves."""
    return f"replay {number}"


def name_of(replay: Replay) -> str:
    """What no other replay is called: a PostgreSQL that was made anew counts from 1 again, and tables remember."""
    return f"replay-{replay.id}/{replay.requested_at:%Y%m%dT%H%M%S.%f}"


def what_was_recomputed(replay: Replay) -> dict[str, Any]:
    """What the step `recompute` has kept. Raises ReplayError: nothing yet."""
    if replay.recomputed is None:
        raise ReplayError(f"replay {replay.id} has not recomputed anything yet")
    return replay.recomputed


def require(replay: Replay, *states: State) -> None:
    """Raises ReplayError unless the replay is in one of `states`."""
    if replay.state not in states:
        why = f": {replay.error}" if replay.error else ": plan it again" if replay.state is State.CANCELLED else ""
        raise ReplayError(f"replay {replay.id} is {replay.state}, not {' or '.join(states)}{why}")


def require_planned_code(plan: Plan) -> None:
    """Raises ReplayError if another version was installed since the plan: somebody has approved this one."""
    if (installed := code_version()) != plan.code_version:
        raise ReplayError(
            f"it was planned with code {plan.code_version}, and {installed} is installed: cancel it, and plan it again"
        )


def require_planned_owner(settings: Settings, plan: Plan) -> None:
    """Raises ReplayError if the owner of the stream's tables has gone over to code that the plan knows nothing of, as
    another replay's undo lets it: the rows put in place and those it makes of later events would be of two versions."""
    runs = running(settings, STREAM)
    if runs not in (None, plan.code_before, plan.code_version):
        raise ReplayError(
            f"it was planned while {STREAM} ran code {plan.code_before}, and that runs {runs} now: "
            "cancel it, and plan it again"
        )


def highest_offsets(settings: Settings, name: str, version: int, first: date, last: date) -> dict[int, int]:
    """By partition, of a silver table's days at a version."""
    highest = (
        scan(settings, name, version=version, dates=(first, last)).group_by("partition").agg(pl.max("offset")).collect()
    )
    return dict(highest.iter_rows())
