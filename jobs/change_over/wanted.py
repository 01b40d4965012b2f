"""What both cores know of a change-over: which jobs it has stopped, and where it kept rows meanwhile."""

from typing import Final

from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import ASIDE
from lakehouse.object_store import remove_all
from lakehouse.runtime.wanted import Wanted, wanted_state
from lakehouse.settings import Settings

CALLED: Final = "change-over, called by "
"""Begins what the wish says that stopped a job."""


def stopped_for_it(settings: Settings, job: str) -> bool:
    """Whether a change-over has stopped the job, which ran till then."""
    seen = wanted_state(settings, job)
    return seen.wanted is Wanted.STOPPED and seen.changed_by.startswith(CALLED)


def tidy(settings: Settings) -> int:
    """Removes what silver and gold were derived in; returns how many files. Raises ServiceDownError."""
    return sum(remove_all(settings, settings.table_path(f"{name}{ASIDE}") + "/") for name in DERIVED)
