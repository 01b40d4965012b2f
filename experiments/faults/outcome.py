"""What came of a schedule, one line of JSON each, and what many of them come to."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from experiments.faults.schedule import Fault, Schedule
from lakehouse.ledger import Audit


class Verdict(StrEnum):
    EXACT = "exact"
    """All drained, every table and live value equals the reference row for row, and the ledger is clean."""
    DIFFERS = "differs"
    STUCK = "stuck"
    """Not drained in time."""
    FAILED = "failed"
    """Something raised: the pipeline could not even be asked."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault as it came about, or not: its target was down already, or its moment did not come.

    `back_seconds`: from its end until its target answered again. None for one that was not injected, that never came
    back, or that was broken connections: there the program was never away.
    """

    fault: Fault
    injected: bool
    back_seconds: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`ledger`: what the audit of every record says; None if it was not come to. `drained_seconds`: from the end of the
    last fault until all was drained. `detail` says what was wrong. `audit`: all that the ledger added up, which is not
    recorded.
    """

    schedule: Schedule
    started_at: str
    verdict: Verdict
    faults: tuple[Injected, ...]
    records: int
    rows_compared: int
    ledger: str | None
    seconds: float
    drained_seconds: float | None
    detail: tuple[str, ...] = ()
    audit: Audit | None = None

    @property
    def exact(self) -> bool:
        return self.verdict is Verdict.EXACT

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        faults = [asdict(i.fault) | {"injected": i.injected, "back_seconds": i.back_seconds} for i in self.faults]
        plain = {name: getattr(self, name) for name in ("started_at", "records", "rows_compared", "ledger", "seconds")}
        return {
            "seed": self.schedule.seed,
            "verdict": str(self.verdict),
            **plain,
            "drained_seconds": self.drained_seconds,
            "detail": list(self.detail),
            "schedule": self.schedule.to_dict() | {"faults": faults},
        }


def record(outcome: Outcome, file: Path) -> None:
    """Append an outcome to a file of JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(outcome.to_dict()) + "\n")


def recorded(file: Path) -> list[dict[str, Any]]:
    """The outcomes of a file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


Spread = tuple[float, float]
"""Median and longest."""


@dataclass(frozen=True, slots=True)
class KindSummary:
    """`back_seconds`: until the target answered again, median and longest. `recovered_seconds`: the same until all was
    drained, of schedules with this fault alone (`schedule.one_by_one`)."""

    kind: str
    target: str
    injected: int
    back_seconds: Spread | None
    recovered_seconds: Spread | None


@dataclass(frozen=True, slots=True)
class Summary:
    schedules: int
    verdicts: dict[str, int]
    records: int
    rows_compared: int
    kinds: tuple[KindSummary, ...]
    drained_seconds: Spread | None
    """Of schedules with several faults."""
    undisturbed_seconds: Spread | None
    """Until all was drained without any fault."""


def summarise(outcomes: Iterable[dict[str, Any]]) -> Summary:
    """Counts schedules, verdicts and faults by kind and target."""
    found = list(outcomes)
    back: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    recovered: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    injected: Counter[tuple[str, str]] = Counter()
    several: list[float] = []
    none: list[float] = []
    for outcome in found:
        faults, drained = outcome["schedule"]["faults"], outcome["drained_seconds"]
        for fault in faults:
            what = (fault["kind"], fault["target"])
            injected[what] += fault["injected"]
            if fault["back_seconds"] is not None:
                back[what].append(fault["back_seconds"])
            if len(faults) == 1 and fault["injected"] and drained is not None:
                recovered[what].append(drained)
        if len(faults) != 1 and drained is not None:
            (several if faults else none).append(drained)
    return Summary(
        schedules=len(found),
        verdicts=dict(Counter(o["verdict"] for o in found)),
        records=sum(o["records"] for o in found),
        rows_compared=sum(o["rows_compared"] for o in found),
        kinds=tuple(
            KindSummary(*what, injected[what], _spread(back[what]), _spread(recovered[what]))
            for what in sorted(injected)
        ),
        drained_seconds=_spread(several),
        undisturbed_seconds=_spread(none),
    )


def _spread(seconds: list[float]) -> Spread | None:
    return (round(statistics.median(seconds), 1), round(max(seconds), 1)) if seconds else None
