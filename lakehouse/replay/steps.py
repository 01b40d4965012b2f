"""The steps of a replay once its plan is approved: what Airflow's graph shows is what is carried out, in this order."""

from dataclasses import dataclass
from typing import Final

MODULE: Final = "jobs.batch.replay"
"""Carries a step out: ``python -m MODULE STEP NUMBER``."""


@dataclass(frozen=True, slots=True)
class Step:
    """`does`: in a sentence, for who reads the graph. `heavy`: takes cores for long, so that it waits for its turn."""

    name: str
    does: str
    heavy: bool = False


STEPS: Final = (
    Step("recompute", "Computes the affected days into staging tables, beside the live streams.", heavy=True),
    Step("diff", "Compares the recomputed rows with those that are there, and writes a report."),
    Step("swap", "Hands the rows to the tables' owner, which swaps them in and refreshes what arrived since."),
    Step("record", "Writes what was done to ops.replays, and removes the staging tables."),
)
UNDO: Final = Step("undo", "Brings back the rows that the replay replaced; what arrived since stays.")
