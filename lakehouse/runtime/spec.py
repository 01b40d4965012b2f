"""What a job is: the declaration that DAGs, command line, supervisor and docs derive from."""

from dataclasses import dataclass
from enum import StrEnum


class Engine(StrEnum):
    """How a job runs: as a Flink job on the session cluster, or as a process under the supervisor."""

    FLINK = "flink"
    PROCESS = "process"


class Restart(StrEnum):
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One long-running job.

    `entry_point` is a Python module, run as ``python -m``: with Flink's Python and PyFlink for `FLINK`, with
    the main one for `PROCESS`. `group` joins jobs that share a process. `freshness_seconds` is the time
    within which an arrived record shows in `writes`. A job that is not `by_default` runs only where somebody starts it:
    nothing else needs what it writes. `state_in_tables`: all that it knows but its position lies in the tables that it
    writes, so that it may go on from its position with a new checkpoint.
    """

    name: str
    engine: Engine
    group: str
    entry_point: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    guarantee: str
    freshness_seconds: int
    restart: Restart = Restart.ALWAYS
    by_default: bool = True
    state_in_tables: bool = False

    @property
    def spark(self) -> bool:
        """Whether it is a stream of Spark's, which keeps its position in a checkpoint."""
        return self.entry_point.startswith("jobs.streaming.spark.")
