"""25.7.1's case, reckoned from measured unit costs: 5 years, 50 TB, 100,000 events a second.

Costs are taken to grow in proportion to events. That is an assumption, and a generous one for a comparison: a batch
run's start, and what each commit costs, weigh far more in a small measurement than in the case.
"""

import statistics
from dataclasses import dataclass
from typing import Final

from experiments.architectures.result import ARCHITECTURES, Live, Result

HISTORY_BYTES: Final = 50e12
YEARS: Final = 5
EVENTS_PER_SECOND: Final = 100_000
DAYS: Final = 365 * YEARS
CADENCES: Final = {"15 min": 900.0, "1 h": 3600.0, "1 day": 86_400.0}
CLUSTER_CORES: Final = 1_000
"""On which the hours of a recomputation are told."""


@dataclass(frozen=True, slots=True)
class Reckoned:
    """A line of the arithmetic: what, how it comes about, and the value with its unit."""

    what: str
    how: str
    value: float
    unit: str


def live_cpu(result: Result, architecture: str, without: tuple[str, ...] = ()) -> float:
    """CPU seconds of a live record, the median of the repeats; processes named in `without` apart."""
    return statistics.median(
        _cpu(live, without) / live.records for live in result.live if live.architecture == architecture
    )


def _cpu(live: Live, without: tuple[str, ...]) -> float:
    return sum(used.cpu_seconds for name, used in live.used.items() if name not in without)


def correction_cpu(result: Result, architecture: str) -> float:
    """CPU seconds of a record of history that is counted anew."""
    return statistics.median(
        c.used.cpu_seconds / c.records for c in result.corrections if c.architecture == architecture
    )


def reckon(result: Result) -> list[Reckoned]:
    """The case, a line at a time; empty where a part was not measured."""
    if not (result.live and result.corrections and result.bronze_bytes_per_record):
        return []
    size = result.bronze_bytes_per_record
    history = HISTORY_BYTES / size
    lines = [
        Reckoned("records of the history", f"50 TB / {size:,.0f} bytes a record in bronze", history, "records"),
        Reckoned("records of a day", f"{EVENTS_PER_SECOND:,}/s x 86,400 s", EVENTS_PER_SECOND * 86_400, "records"),
    ]
    for name in ARCHITECTURES:
        apart = ("batch",)
        each = live_cpu(result, name, apart)
        how = f"{EVENTS_PER_SECOND:,}/s x {each * 1e6:,.0f} us a record"
        lines.append(Reckoned(f"{name}: cores for what flows", how, EVENTS_PER_SECOND * each, "cores"))
    for name in ARCHITECTURES:
        each = correction_cpu(result, name)
        hours = history * each / CLUSTER_CORES / 3600
        how = f"{history:,.2e} records x {each * 1e6:,.0f} us / {CLUSTER_CORES:,} cores"
        lines.append(Reckoned(f"{name}: the whole history once, on {CLUSTER_CORES:,} cores", how, hours, "hours"))
    each = correction_cpu(result, "lambda")
    for label, seconds in CADENCES.items():
        how = f"{history:,.2e} records x {each * 1e6:,.0f} us / {seconds:,.0f} s"
        lines.append(
            Reckoned(f"lambda: cores for a batch run over all, every {label}", how, history * each / seconds, "cores")
        )
    for label, seconds in CADENCES.items():
        how = f"{EVENTS_PER_SECOND:,}/s x {seconds:,.0f} s"
        lines.append(
            Reckoned(
                f"lambda: records that the speed layer holds, cadence {label}",
                how,
                EVENTS_PER_SECOND * seconds,
                "records",
            )
        )
    return lines
