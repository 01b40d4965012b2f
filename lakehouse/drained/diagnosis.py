"""Why a consumer is behind, how long it will be, and what to do: from its lag, and its pace where it was measured.

Paces count offsets, and so do the distances that are divided by them: where transactions leave control records, both
hold as many of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from statistics import median
from typing import Final, TypeAlias

from lakehouse.drained.positions import Lag
from lakehouse.shell import quoted

HOT_FACTOR: Final = 1.5
"""A partition is hot that gets so many times what the median partition of its topic does."""
_HOT_RECORDS: Final = 1_000
_HOT_PER_SECOND: Final = 10.0
"""By fewer more than the median, chance does it."""
SKEWED_SHARE: Final = 0.2
"""A key skews its partition if so much of what came last is its."""
NORMAL_SECONDS: Final = 60.0
"""Records of so many seconds are always on their way: jobs commit with their micro-batch or checkpoint."""


class Cause(StrEnum):
    STOPPED = "stopped"
    SLOW = "slow consumer"
    HOT = "hot partition"
    SKEW = "key skew"
    CATCHING_UP = "catching up"
    ON_THE_WAY = "on the way"


Place: TypeAlias = tuple[str, int]
"""Topic, without namespace, and partition."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Records per second, measured over `seconds`: what came, by place, and what was done, by consumer and place."""

    seconds: float
    produced: Mapping[Place, float]
    consumed: Mapping[tuple[str, Place], float]

    @classmethod
    def between(cls, before: Sequence[Lag], after: Sequence[Lag], seconds: float) -> "Pace":
        """From two looks, `seconds` apart, at the same consumers. A first position counts from the log's start."""
        old = {(each.consumer, _place(each)): each for each in before}
        produced, consumed = {}, {}
        for new in after:
            at = (new.consumer, _place(new))
            produced[at[1]] = max(0, new.end - old[at].end) / seconds
            consumed[at] = max(0, new.reached - old[at].reached) / seconds
        return cls(seconds, produced, consumed)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A consumer of a topic. `causes`: by partition, for those that are behind.

    `catch_up_seconds`: until nothing is left, at the rate that was measured or assumed; infinite where more comes than
    is done; None where no rate is known.
    """

    consumer: str
    topic: str
    lag: int
    causes: Mapping[int, tuple[Cause, ...]]
    catch_up_seconds: float | None
    advice: tuple[str, ...] = ()

    def of(self, cause: Cause) -> list[int]:
        """The partitions with this cause."""
        return [partition for partition, causes in self.causes.items() if cause in causes]


def hot_partitions(lags: Sequence[Lag], pace: Pace | None = None) -> dict[Place, float]:
    """How many times the median of its topic each hot partition gets: by what the log holds, or by what comes now."""
    hot: dict[Place, float] = {}
    held = {_place(each): float(each.end - each.start) for each in lags}
    for volumes, least in ((held, _HOT_RECORDS), (dict(pace.produced) if pace else {}, _HOT_PER_SECOND)):
        for topic in {topic for topic, _ in volumes}:
            usual = median(volume for place, volume in volumes.items() if place[0] == topic)
            for place, volume in volumes.items():
                if place[0] == topic and volume >= max(HOT_FACTOR * usual, usual + least):
                    hot[place] = max(hot.get(place, 0.0), volume / usual if usual else inf)
    return hot


def diagnose(
    lags: Sequence[Lag],
    pace: Pace | None = None,
    assumed_rate: float | None = None,
    top_keys: Mapping[Place, tuple[str, float]] | None = None,
) -> list[Diagnosis]:
    """A diagnosis for each consumer and topic, in the order of `lags`, which has all partitions of their topics.

    `assumed_rate`: records per second that each consumer does, in place of what was measured. `top_keys`: of hot
    partitions, the key that came most of late, and its share.
    """
    hot = hot_partitions(lags, pace)
    groups: dict[tuple[str, str], list[Lag]] = {}
    for each in lags:
        groups.setdefault((each.consumer, each.topic), []).append(each)
    usual = {
        topic: median({_place(e): e.end - e.start for e in lags if e.topic == topic}.values())
        for topic in {topic for _, topic in groups}
    }
    found = []
    for (consumer, topic), own in groups.items():
        behind = [each for each in own if each.lag]
        causes = {e.partition: _causes(e, pace, hot, usual[topic], top_keys or {}) for e in behind}
        plain = Diagnosis(consumer, topic, sum(e.lag for e in own), causes, _catch_up(behind, pace, assumed_rate))
        found.append(replace(plain, advice=tuple(_advice(plain, pace, hot, top_keys or {}))))
    return found


def _causes(
    lag: Lag,
    pace: Pace | None,
    hot: Mapping[Place, float],
    usual: float,
    top_keys: Mapping[Place, tuple[str, float]],
) -> tuple[Cause, ...]:
    place = _place(lag)
    consumed = pace.consumed[lag.consumer, place] if pace else None
    produced = pace.produced[place] if pace else 0.0
    if consumed == 0 or (consumed is None and lag.position is None):
        return (Cause.STOPPED,)
    if consumed is not None and lag.offsets <= NORMAL_SECONDS * produced:
        return (Cause.ON_THE_WAY,)
    causes = []
    if place in hot:
        skewed = place in top_keys and top_keys[place][1] >= SKEWED_SHARE
        causes.append(Cause.SKEW if skewed else Cause.HOT)
    if consumed is not None and consumed > produced:
        causes.append(Cause.CATCHING_UP)
    # More than what a hot partition has beyond the usual: it would be behind without that, too.
    elif place not in hot or lag.offsets > lag.end - lag.start - usual:
        causes.append(Cause.SLOW)
    return tuple(causes)


def _catch_up(behind: Sequence[Lag], pace: Pace | None, assumed_rate: float | None) -> float | None:
    if not behind:
        return 0.0
    if assumed_rate is not None:
        spare = assumed_rate - sum(pace.produced[_place(e)] for e in behind) if pace else assumed_rate
        return _seconds(sum(e.offsets for e in behind), spare)
    if pace is None:
        return None
    # The last partition ends it. Where it works by turns, it will be sooner once others are done.
    return max(_seconds(e.offsets, pace.consumed[e.consumer, _place(e)] - pace.produced[_place(e)]) for e in behind)


def _seconds(records: int, per_second: float) -> float:
    return records / per_second if per_second > 0 else inf


def _advice(
    found: Diagnosis, pace: Pace | None, hot: Mapping[Place, float], top_keys: Mapping[Place, tuple[str, float]]
) -> Sequence[str]:
    advice = []
    if stopped := found.of(Cause.STOPPED):
        since = f"has moved nothing in {pace.seconds:.0f} s" if pace else "has never said how far it is"
        advice.append(
            f"{_named(stopped)}: it {since}: see whether it runs with `lakehouse job status {found.consumer}`, and why "
            f"not with `lakehouse logs {found.consumer}`; a job that commits more seldom is to be measured for longer"
        )
    if slow := found.of(Cause.SLOW):
        beside = " also" if found.of(Cause.HOT) or found.of(Cause.SKEW) else ""
        advice.append(
            f"{_named(slow)}: the consumer is{beside} slow, or was away: look at its time per record; more members "
            f"help, up to one per partition"
        )
    if hottest := found.of(Cause.HOT):
        factor = max(hot[found.topic, partition] for partition in hottest)
        advice.append(
            f"{_named(hottest)}: {factor:.1f} times what the topic's other partitions get: more members don't help "
            f"beyond one per partition; look which keys are produced there"
        )
    for partition in found.of(Cause.SKEW):
        key, share = top_keys[found.topic, partition]
        advice.append(
            f"{_named([partition])}: {share:.0%} of what came last has the key {quoted(key)}: make this key finer, or "
            f"add it up in two steps; more members don't help, as a key has one partition"
        )
    return advice


def _named(partitions: Sequence[int]) -> str:
    return f"partition{'s'[: len(partitions) != 1]} {', '.join(map(str, partitions))}"


def _place(lag: Lag) -> Place:
    return lag.topic, lag.partition
