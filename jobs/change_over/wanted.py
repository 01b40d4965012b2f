"""What both cores know of a change-over: whether the Spark driver ran when it began, and where it kept its own rows."""

from typing import Final

from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.object_store import remove_all
from lakehouse.runtime.wanted import Wanted, wanted_state
from lakehouse.settings import Settings

CALLED: Final = "change-over, called by "
"""Begins what the wish says that stopped a job."""
ASIDE: Final = "__follower"
"""Ends the names of the tables in which silver and gold are derived."""


def stopped_for_it(settings: Settings, job: str) -> bool:
    """Whether a change-over has stopped the job, which ran till then."""
    seen = wanted_state(settings, job)
    return seen.wanted is Wanted.STOPPED and seen.changed_by.startswith(CALLED)


def ran_before(settings: Settings) -> bool:
    """Whether the Spark driver ran until a change-over stopped it."""
    return stopped_for_it(settings, SPARK_INGEST)


def tidy(settings: Settings) -> int:
    """Removes what silver and gold were derived in; returns how many files. Raises ServiceDownError."""
    return sum(remove_all(settings, settings.table_path(f"{name}{ASIDE}")) for name in DERIVED)
