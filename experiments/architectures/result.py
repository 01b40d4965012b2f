"""What a comparison of the architectures found, as data."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from experiments.architectures import code
from experiments.architectures.meter import Stored, Usage

ARCHITECTURES: Final = ("kappa", "lambda")


@dataclass(frozen=True, slots=True)
class Compared:
    """A table of one architecture against `against`, in one run."""

    run: str
    architecture: str
    table: str
    against: str
    rows: int
    missing: int
    unexpected: int
    different: int
    equal: bool


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from a click's arrival in Kafka until the tables that serve have counted it. `over_time`: by the second
    of arrival since the first, the highest."""

    records: int
    p50: float
    p99: float
    highest: float
    over_time: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Live:
    """An architecture while events flow: `used` by process."""

    architecture: str
    records: int
    used: dict[str, Usage]
    shared: dict[str, Usage]
    stored: Stored
    freshness: Freshness | None
    batch_runs: int = 0

    @property
    def total(self) -> Usage:
        """Of its own processes, which run beside each other."""
        usage = Usage()
        for each in self.used.values():
            usage = usage.beside(each)
        return usage


@dataclass(frozen=True, slots=True)
class Correction:
    """Making `days` of history anew, as after a wrong rule: from bronze to tables that serve."""

    architecture: str
    days: int
    records: int
    used: Usage


@dataclass(frozen=True, slots=True)
class Late:
    """How the records of a run were late, by the reference's accounting; both architectures counted all that count."""

    used: int
    late: int
    very_late: int
    duplicates: int


@dataclass(slots=True)
class Result:
    """`live` and `corrections` hold every repeat; the page shows medians."""

    title: str
    started_at: str
    parameters: dict[str, str]
    machine: dict[str, Any]
    equality: list[Compared] = field(default_factory=list)
    live: list[Live] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    late: Late | None = None
    bronze_bytes_per_record: float | None = None

    @property
    def ok(self) -> bool:
        return bool(self.equality) and all(each.equal for each in self.equality)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {
            "ok": self.ok,
            "code": {
                "shared_lines": code.lines(code.SHARED),
                "lines": {name: code.lines(files) for name, files in code.FILES.items()},
                "files": {name: list(files) for name, files in code.FILES.items()},
                "places": {name: dict(places) for name, places in code.PLACES.items()},
            },
        }
