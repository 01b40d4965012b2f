"""What earlier runs of the demo did on this installation, so that the next one goes on from there."""

import json
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from lakehouse.settings import Settings

FIRST_DAY: Final = date(2026, 3, 2)


@dataclass(slots=True)
class DemoDay:
    """A generated day: sent whole, or again from its start if a run was interrupted."""

    day: str
    clicks: int
    seed: int
    verified: bool = False


@dataclass(slots=True)
class DemoState:
    """Kept as JSON in the installation's home; `days` in order, the last one perhaps not verified yet."""

    sample_verified: bool = False
    days: list[DemoDay] = field(default_factory=list)

    def current_day(self, clicks: int, seed: int) -> DemoDay:
        """The day of this run: the interrupted one as it was begun, else a new one after the last."""
        if self.days and not self.days[-1].verified:
            return self.days[-1]
        day = date.fromisoformat(self.days[-1].day) + timedelta(days=1) if self.days else FIRST_DAY
        self.days.append(DemoDay(day.isoformat(), clicks, seed))
        return self.days[-1]


def _file(settings: Settings) -> Path:
    return settings.home / "demo.json"


def load_state(settings: Settings) -> DemoState:
    try:
        stored = json.loads(_file(settings).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return DemoState()
    return DemoState(stored["sample_verified"], [DemoDay(**day) for day in stored["days"]])


def save_state(settings: Settings, state: DemoState) -> None:
    """Replace the file at once, so that a kill leaves the old or the new one."""
    partial = _file(settings).with_suffix(".partial")
    partial.write_text(json.dumps(asdict(state), indent=2), encoding="utf-8")
    partial.replace(_file(settings))
