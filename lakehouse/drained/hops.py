"""*Drained*, hop by hop, in chains that do not wait for each other. All begin where Kafka's topics end at a moment:

- of the core: the offsets of Flink's ingest -> a cut that has all up to them, and all that tables were when this began;
  or Spark's checkpoint -> the silver version that each refresh has read, and beside it
- the offsets of Flink's ingest of transactions -> a checkpoint after them;
- those of its dashboard -> a checkpoint after them -> end of ``shop.dashboard`` -> its writer;
- the checkpoint of Spark's own stream;
- those of its decisions -> a checkpoint after them -> end of ``shop.alerts`` -> their record -> a checkpoint.

A hop is looked at only when those before it in its chain are done, and the end that a writer must reach is read only
then: so nothing can be on its way behind a hop that was found done.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lakehouse.checkpoints import Positions
from lakehouse.contracts import owners
from lakehouse.contracts.core import CORE, SPARK_STREAM, Core
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.owners import ALERTS_SENT, FRAUD_ONLINE, SPARK_INGEST, SPARK_STATE
from lakehouse.cuts import newest_cut, versions_of
from lakehouse.drained.positions import DASHBOARD_WRITER, LIVE_DASHBOARD, lags, lost
from lakehouse.drained.refreshes import outdated
from lakehouse.flink_rest import latest_checkpoints
from lakehouse.kafka.consumer import end_offsets, offset_ranges
from lakehouse.kafka.topics import ALERTS, DASHBOARD
from lakehouse.losses import in_words
from lakehouse.semantics.events import EVENT_TYPES
from lakehouse.settings import Settings

POLL_SECONDS: Final = 1.0
_REST: Final = 4.0
"""Between two looks, as a multiple of what a look takes."""
_LONGEST_REST: Final = 10.0

SPARK: Final = "Spark's checkpoint"
REFRESHES: Final = "refreshed tables"
INGEST: Final = "Flink's ingest"
INGEST_CHECKPOINT: Final = "Flink's ingest, next checkpoint"
CUT: Final = "cut"
FLINK: Final = "Flink's offsets"
FLINK_CHECKPOINT: Final = "Flink's next checkpoint"
WRITER: Final = "dashboard writer"
DECISIONS: Final = "fraud decisions"
DECISIONS_CHECKPOINT: Final = "fraud decisions' next checkpoint"
RECORD: Final = "record of alerts"
RECORD_CHECKPOINT: Final = "record of alerts' next checkpoint"
STATE: Final = "checkpoint of Spark's totals"


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
    """The hops looked at, in order; of each chain those up to the first that is not done."""

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


_INGEST: Final = owners.INGEST if CORE is Core.FOLLOWER else owners.INGEST_TRANSACTIONS


def kafka_ends(settings: Settings) -> dict[str, dict[int, int]]:
    """Where the event topics end now, for those who read what is committed."""
    return {topic: end for topic, (_, end) in offset_ranges(settings, tuple(EVENT_TYPES)).items()}


@dataclass(slots=True)
class Drain:
    """Follows what Kafka held when this was made: `ends`.

    Flink sends alerts and commits to Delta when the checkpoint that holds them is complete, which is when it commits
    offsets too, and is sure to have done it when the next one is. So after its offsets a later checkpoint is awaited:
    one that was triggered after the offsets were seen.

    Without `live` the hops of the dashboard and Redis are left out: the tables don't depend on them; without `tables`
    those of the core, on which the live values don't depend; without `refreshes` that of Spark's refreshed tables,
    which a commit to silver by anybody else would keep waiting for ever; without `ingest` (by default with both `live`
    and `tables`) those of Flink's ingest of transactions beside Spark, of which there may be none; without `said` (by
    default the same) those of fraud decisions and of the record of alerts.
    """

    settings: Settings
    ends: Positions
    live: bool = True
    tables: bool = True
    refreshes: bool = True
    ingest: bool | None = None
    said: bool | None = None
    _reached_ms: dict[str, int] = field(default_factory=dict)
    _versions: Mapping[str, int] = field(default_factory=dict)
    """Of the core's tables, when its hop was first looked at."""

    @classmethod
    def now(
        cls,
        settings: Settings,
        live: bool = True,
        tables: bool = True,
        refreshes: bool = True,
        ingest: bool | None = None,
        said: bool | None = None,
    ) -> "Drain":
        """Raises ServiceDownError when Kafka does not answer."""
        return cls(settings, kafka_ends(settings), live, tables, refreshes, ingest, said)

    def look(self) -> DrainState:
        """Where things are now.

        Raises:
            ServiceDownError: Kafka, MinIO or Flink does not answer.
        """
        hops: list[Hop] = []
        chains = self._chains()
        for chain in chains:
            for step in chain:
                hops.append(step())
                if not hops[-1].done:
                    break
        return DrainState(tuple(hops), sum(map(len, chains)))

    def _chains(self) -> list[list[Callable[[], Hop]]]:
        both = self.live and self.tables
        chains: list[list[Callable[[], Hop]]] = []
        if self.tables:
            chains.append(self._core_chain())
        beside = CORE is Core.SPARK and (both if self.ingest is None else self.ingest)
        if beside and any(self.ends.get(TRANSACTIONS.topic, {}).values()):
            chains.append([self._ingest, self._ingest_checkpoint])
        if self.live:
            chains.append([self._flink, self._flink_checkpoint, self._writer])
        if both if self.said is None else self.said:
            chains.append([self._decisions, self._decisions_checkpoint, self._record, self._record_checkpoint])
        if both and SPARK_STREAM:
            chains.append([self._state])
        return chains

    def _core_chain(self) -> list[Callable[[], Hop]]:
        if CORE is Core.FOLLOWER:
            return [self._ingest, self._cut]
        return [self._spark, *([self._refreshes] if self.refreshes else [])]

    def _spark(self) -> Hop:
        return self._behind(SPARK, SPARK_INGEST, self.ends)

    def _state(self) -> Hop:
        return self._behind(STATE, SPARK_STATE, self.ends)

    def _refreshes(self) -> Hop:
        return Hop(REFRESHES, "; ".join(f"{table} has read {what}" for table, what in outdated(self.settings).items()))

    def _ingest(self) -> Hop:
        return self._read(INGEST, _INGEST, self.ends)

    def _ingest_checkpoint(self) -> Hop:
        return self._checkpoint(INGEST_CHECKPOINT, _INGEST)

    def _cut(self) -> Hop:
        cut = newest_cut(self.settings)
        if cut is None:
            return Hop(CUT, "there is none yet")
        self._versions = self._versions or versions_of(self.settings, cut.versions)
        if not cut.covers(self.ends):
            return Hop(CUT, f"the newest, of checkpoint {cut.checkpoint}, has not all records yet")
        late = cut.older(self._versions)
        return Hop(CUT, f"the newest is older than {', '.join(late)}" if late else "")

    def _flink(self) -> Hop:
        return self._read(FLINK, LIVE_DASHBOARD, self.ends)

    def _flink_checkpoint(self) -> Hop:
        return self._checkpoint(FLINK_CHECKPOINT, LIVE_DASHBOARD)

    def _decisions(self) -> Hop:
        return self._read(DECISIONS, FRAUD_ONLINE, self.ends)

    def _decisions_checkpoint(self) -> Hop:
        return self._checkpoint(DECISIONS_CHECKPOINT, FRAUD_ONLINE)

    def _record(self) -> Hop:
        # All alerts that there will be must be sent: the dashboard's too, which leave with its checkpoint.
        if self.live:
            for sent in (self._flink, self._flink_checkpoint):
                if not (hop := sent()).done:
                    return Hop(RECORD, f"{hop.name}: {hop.missing}")
        return self._read(RECORD, ALERTS_SENT, {ALERTS: end_offsets(self.settings, ALERTS)})

    def _record_checkpoint(self) -> Hop:
        return self._checkpoint(RECORD_CHECKPOINT, ALERTS_SENT)

    def _read(self, name: str, job: str, ends: Positions) -> Hop:
        """A Flink job's offsets; notes when they were first seen to have reached the ends."""
        hop = self._behind(name, job, ends)
        if hop.done:
            self._reached_ms.setdefault(job, time.time_ns() // 1_000_000)
        return hop

    def _checkpoint(self, name: str, job: str) -> Hop:
        latest = _latest_checkpoint_ms(self.settings, job)
        if latest is not None and latest > self._reached_ms[job]:
            return Hop(name)
        return Hop(name, "no checkpoint was taken since all was read")

    def _writer(self) -> Hop:
        # Flink has sent all that it will: this end holds everything.
        return self._behind(WRITER, DASHBOARD_WRITER, {DASHBOARD: end_offsets(self.settings, DASHBOARD)})

    def _behind(self, hop: str, consumer: str, ends: Positions) -> Hop:
        late = [lag for lag in lags(self.settings, [consumer], ends) if lag.lag]
        missing = ", ".join(f"{lag.topic}[{lag.partition}] {lag.lag:,} behind" for lag in late)
        if not late and (gone := lost(self.settings, consumer)):
            # What it owes counts from where Kafka begins now: it owes nothing of what it will never get.
            missing = f"{in_words(gone)}; see: lakehouse job accept-loss {consumer}"
        return Hop(hop, missing, sum(lag.lag for lag in late))


def _latest_checkpoint_ms(settings: Settings, job: str) -> int | None:
    """When the job's newest complete checkpoint was triggered; None without either."""
    completed = latest_checkpoints(settings, job).get("completed")
    return int(completed["trigger_timestamp"]) if completed else None


def wait_until_drained(
    settings: Settings,
    timeout_seconds: float,
    progress: Callable[[DrainState], None] = lambda _state: None,
    *,
    live: bool = True,
    tables: bool = True,
    refreshes: bool = True,
    ingest: bool | None = None,
    said: bool | None = None,
) -> Positions:
    """Waits until all that Kafka holds at the call has arrived everywhere; returns where its topics ended then.

    `progress` is called after each look, the flags are as for `Drain`. Raises:
        NotDrainedError: not within `timeout_seconds`; it says which hop was waited for.
        ServiceDownError: Kafka, MinIO or Flink does not answer.
    """
    drain = Drain.now(settings, live, tables, refreshes, ingest, said)
    deadline = time.monotonic() + timeout_seconds
    while True:
        began = time.monotonic()
        state = drain.look()
        progress(state)
        if state.drained:
            return drain.ends
        if time.monotonic() > deadline:
            raise NotDrainedError(state, timeout_seconds)
        # A look that is slow is one at services that are busy: it must not be what keeps them so.
        time.sleep(max(POLL_SECONDS, min(_LONGEST_REST, _REST * (time.monotonic() - began))))
