"""One look at all consumers: their lag, why they are behind, how long they will be, and what to do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from lakehouse.drained.diagnosis import Diagnosis, Pace, diagnose, hot_partitions
from lakehouse.drained.positions import Lag, lags, lost
from lakehouse.drained.top_keys import top_keys
from lakehouse.durations import duration
from lakehouse.losses import Loss, RecordsLostError, in_words
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Look:
    """`pace`: where it was measured. `diagnoses`: one per consumer and topic of `lags`. `lost`: by consumer, what it
    can't go on without, and Kafka no longer has."""

    lags: Sequence[Lag]
    pace: Pace | None
    diagnoses: Sequence[Diagnosis]
    lost: Mapping[str, Sequence[Loss]] = field(default_factory=dict)

    @property
    def behind(self) -> list[str]:
        """The consumers that owe something."""
        return sorted({each.consumer for each in self.lags if each.lag})

    def causes(self, lag: Lag) -> tuple[str, ...]:
        """Why `lag`, one of `lags`, is what it is; nothing if it is 0."""
        return self._said(lag).causes.get(lag.partition, ())

    def lines(self) -> list[str]:
        """For people: of each consumer and topic that is behind, how far, how long that will take, and what to do."""
        lines = []
        for each in self.diagnoses:
            if each.lag:
                lines += [_headline(each), *(f"  {advice}" for advice in each.advice)]
        return [*lines, *(str(RecordsLostError(name, losses)) for name, losses in self.lost.items())]

    def to_list(self) -> list[dict[str, Any]]:
        """For JSON: an entry per consumer and partition, with what is said of its consumer and topic."""
        return [self._entry(each) for each in self.lags]

    def _entry(self, lag: Lag) -> dict[str, Any]:
        said, place, pace = self._said(lag), (lag.topic, lag.partition), self.pace
        took = said.catch_up_seconds
        return asdict(lag) | {
            "lag": lag.lag,
            "causes": [str(cause) for cause in self.causes(lag)],
            "produced_per_second": pace and round(pace.produced[place], 3),
            "consumed_per_second": pace and round(pace.consumed[lag.consumer, place], 3),
            "catch_up_seconds": round(took, 1) if took is not None and isfinite(took) else None,
            "advice": list(said.advice),
            "lost": in_words(
                e for e in self.lost.get(lag.consumer, ()) if (e.topic, e.partition) == (lag.topic, lag.partition)
            ),
        }

    def _said(self, lag: Lag) -> Diagnosis:
        return next(each for each in self.diagnoses if (each.consumer, each.topic) == (lag.consumer, lag.topic))


def _headline(found: Diagnosis) -> str:
    took, when = found.catch_up_seconds, ""
    if took is not None:
        when = f"; done in {duration(took)}" if isfinite(took) else "; never done at this rate"
    return f"{found.consumer} on {found.topic}: {found.lag:,} record{'s'[: found.lag != 1]}{when}"


def look(settings: Settings, names: Sequence[str], seconds: float = 0, rate: float | None = None) -> Look:
    """Looks at the consumers `names`: once, or again after some `seconds`, so that it knows their pace.

    `rate`: records per second that each is assumed to do. Raises what `lags` and `top_keys` raise.
    """
    found, pace = lags(settings, names), None
    if seconds:
        before, began = found, time.monotonic()
        time.sleep(seconds)
        found = lags(settings, names)
        pace = Pace.between(before, found, time.monotonic() - began)
    hot = hot_partitions(found, pace)
    keys = top_keys(settings, (each for each in found if each.lag and (each.topic, each.partition) in hot))
    gone = {name: losses for name in names if (losses := lost(settings, name))}
    return Look(found, pace, diagnose(found, pace, rate, keys), gone)
