"""Clearing Redis of the values of superseded generations."""

from typing import Final

from lakehouse.drained import wait_until_drained
from lakehouse.redis_values import LiveValues
from lakehouse.runtime.wanted import migrate, wanted_state
from lakehouse.settings import Settings

JOB: Final = "live_dashboard"


def has_superseded(settings: Settings) -> bool:
    """Whether Redis may hold values of a generation before the job's.

    Raises ServiceDownError: PostgreSQL or Redis does not answer.
    """
    migrate(settings)
    values = LiveValues(settings)
    try:
        return values.cleared_below() < wanted_state(settings, JOB).generation
    finally:
        values.close()


def delete_superseded(settings: Settings, timeout_seconds: float = 60) -> int:
    """Delete the values of generations before the job's, once its own has arrived; how many were deleted.

    Where it was done before for this generation it is not looked at again.

    Raises:
        NotDrainedError: the job's own generation had not arrived within `timeout_seconds`; ask again later.
        ServiceDownError: PostgreSQL, Kafka, Flink or Redis does not answer.
    """
    migrate(settings)
    generation = wanted_state(settings, JOB).generation
    values = LiveValues(settings)
    try:
        if values.cleared_below() >= generation:
            return 0
        wait_until_drained(settings, timeout_seconds, tables=False)
        return values.delete_older_generations(generation)
    finally:
        values.close()
