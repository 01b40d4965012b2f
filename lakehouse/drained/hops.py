"""*Drained*, hop by hop: Kafka's ends at a moment -> Spark's checkpoint -> the silver version that each refresh
has read -> Flink's committed offsets -> a checkpoint after them -> end of ``shop.dashboard`` -> its writer.

A hop is looked at only when those before it are done, and the end that the writer must reach is read only then:
so nothing can be on its way behind a hop that was found done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.drained.positions import DASHBOARD_WRITER, LIVE_DASHBOARD, Positions, lags
from lakehouse.drained.refreshes import outdated
from lakehouse.kafka.consumer import end_offsets
from lakehouse.kafka.topics import DASHBOARD
from lakehouse.semantics.events import EVENT_TYPES
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

POLL_SECONDS: Final = 1.0

SPARK: Final = "Spark's checkpoint"
REFRESHES: Final = "refreshed tables"
FLINK: Final = "Flink's offsets"
FLINK_CHECKPOINT: Final = "Flink's next checkpoint"
WRITER: Final = "dashboard writer"


@dataclass(frozen=True, slots=True)
class Hop:
    """`missing` says what has not passed yet; empty: all has. `records`: how many, where that can be counted."""

    name: str
    missing: str = ""
    records: int = 0

    @property
    def done(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class DrainState:
    """The hops looked at, in order; those after the first that is not done are not among them."""

    hops: tuple[Hop, ...]
    expected: int

    @property
    def drained(self) -> bool:
        return len(self.hops) == self.expected and all(hop.done for hop in self.hops)

    @property
    def waiting_for(self) -> Hop | None:
        """The first hop that is not done."""
        return next((hop for hop in self.hops if not hop.done), None)


class NotDrainedError(TimeoutError):
    """The time was up before all was drained."""

    def __init__(self, state: DrainState, seconds: float) -> None:
        hop = state.waiting_for
        what = f"{hop.name}: {hop.missing}" if hop else "nothing"
        super().__init__(f"not drained after {seconds:.0f} s, waiting for {what}; see: lakehouse lag, lakehouse status")
        self.state = state


def kafka_ends(settings: Settings) -> dict[str, dict[int, int]]:
    """Where the event topics end now."""
    return {topic: end_offsets(settings, topic) for topic in EVENT_TYPES}


@dataclass(slots=True)
class Drain:
    """Follows what Kafka held when this was made: `ends`.

    Flink sends alerts when the checkpoint that holds them is complete, which is when it commits offsets too, and
    its sink is sure to have sent them when the next one is. So after its offsets a later checkpoint is awaited:
    one that was triggered after the offsets were seen.

    Without `live` the hops of Flink and Redis are left out: the tables don't depend on them; without `tables`
    those of Spark, on which the live values don't depend; without `refreshes` that of the refreshed tables, which a
    commit to silver by anybody else would keep waiting for ever.
    """

    settings: Settings
    ends: Positions
    live: bool = True
    tables: bool = True
    refreshes: bool = True
    _flink_reached_ms: int | None = field(default=None)

    @classmethod
    def now(cls, settings: Settings, live: bool = True, tables: bool = True, refreshes: bool = True) -> "Drain":
        """Raises ServiceDownError when Kafka does not answer."""
        return cls(settings, kafka_ends(settings), live, tables, refreshes)

    def look(self) -> DrainState:
        """Where things are now.

        Raises:
            ServiceDownError: Kafka, MinIO or Flink does not answer.
        """
        steps: list[Callable[[], Hop]] = []
        if self.tables:
            steps.append(self._spark)
        if self.tables and self.refreshes:
            steps.append(self._refreshes)
        if self.live:
            steps += [self._flink, self._flink_checkpoint, self._writer]
        hops: list[Hop] = []
        for step in steps:
            hops.append(step())
            if not hops[-1].done:
                break
        return DrainState(tuple(hops), len(steps))

    def _spark(self) -> Hop:
        return self._behind(SPARK, SPARK_INGEST, self.ends)

    def _refreshes(self) -> Hop:
        return Hop(REFRESHES, "; ".join(f"{table} has read {what}" for table, what in outdated(self.settings).items()))

    def _flink(self) -> Hop:
        hop = self._behind(FLINK, LIVE_DASHBOARD, self.ends)
        if hop.done and self._flink_reached_ms is None:
            self._flink_reached_ms = time.time_ns() // 1_000_000
        return hop

    def _flink_checkpoint(self) -> Hop:
        latest = _latest_checkpoint_ms(self.settings)
        reached = self._flink_reached_ms
        if reached is not None and latest is not None and latest > reached:
            return Hop(FLINK_CHECKPOINT)
        return Hop(FLINK_CHECKPOINT, "no checkpoint was taken since Flink has read all")

    def _writer(self) -> Hop:
        # Flink has sent all that it will: this end holds everything.
        return self._behind(WRITER, DASHBOARD_WRITER, {DASHBOARD: end_offsets(self.settings, DASHBOARD)})

    def _behind(self, hop: str, consumer: str, ends: Positions) -> Hop:
        late = [lag for lag in lags(self.settings, [consumer], ends) if lag.lag]
        missing = ", ".join(f"{lag.topic}[{lag.partition}] {lag.lag:,} behind" for lag in late)
        return Hop(hop, missing, sum(lag.lag for lag in late))


def _latest_checkpoint_ms(settings: Settings) -> int | None:
    """When the running dashboard job's newest complete checkpoint was triggered; None without either."""
    url = f"http://{settings.host}:{settings.flink_port}"
    name = settings.prefixed(LIVE_DASHBOARD)
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            jobs: list[dict[str, Any]] = client.get("/jobs/overview").raise_for_status().json()["jobs"]
            for job in jobs:
                if job["name"] == name and job["state"] == "RUNNING":
                    answer = client.get(f"/jobs/{job['jid']}/checkpoints").raise_for_status().json()
                    completed = answer["latest"]["completed"]
                    return int(completed["trigger_timestamp"]) if completed else None
    except httpx.TransportError as error:
        raise ServiceDownError("flink-jobmanager", url) from error
    return None


def wait_until_drained(
    settings: Settings,
    timeout_seconds: float,
    progress: Callable[[DrainState], None] = lambda _state: None,
    *,
    live: bool = True,
    tables: bool = True,
    refreshes: bool = True,
) -> Positions:
    """Waits until all that Kafka holds at the call has arrived everywhere; returns where its topics ended then.

    `progress` is called after each look, `live`, `tables` and `refreshes` are as for `Drain`. Raises:
        NotDrainedError: not within `timeout_seconds`; it says which hop was waited for.
        ServiceDownError: Kafka, MinIO or Flink does not answer.
    """
    drain = Drain.now(settings, live, tables, refreshes)
    deadline = time.monotonic() + timeout_seconds
    while True:
        state = drain.look()
        progress(state)
        if state.drained:
            return drain.ends
        if time.monotonic() > deadline:
            raise NotDrainedError(state, timeout_seconds)
        time.sleep(POLL_SECONDS)
