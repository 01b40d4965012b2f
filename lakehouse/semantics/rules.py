"""The numbers of a rule, once: each metric's `spec.py` has its own, and engines take them from there."""

from dataclasses import dataclass, fields
from typing import Any

from lakehouse.semantics.windows import MINUTE


@dataclass(frozen=True, slots=True)
class Rule:
    """Durations are fields in milliseconds, ``*_ms``; what ends otherwise is a count."""

    def numbers(self) -> dict[str, Any]:
        """By name, the fields; of durations the minutes too, as ``*_minutes``, if they are whole ones."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        durations = {name.removesuffix("_ms"): value for name, value in found.items() if name.endswith("_ms")}
        return found | {f"{name}_minutes": ms // MINUTE for name, ms in durations.items() if ms % MINUTE == 0}


@dataclass(frozen=True, slots=True)
class WindowRule(Rule):
    """Windows of `size_ms`, one of which begins every `every_ms`; both are whole minutes."""

    size_ms: int
    every_ms: int

    def numbers(self) -> dict[str, Any]:
        """`starts` too: how far before the latest window that holds an event the others begin, as rows of intervals."""
        minutes = range(0, self.size_ms // MINUTE, self.every_ms // MINUTE)
        starts = ", ".join(f"(INTERVAL '{back}' MINUTE)" for back in minutes)
        return Rule.numbers(self) | {"starts": starts}
