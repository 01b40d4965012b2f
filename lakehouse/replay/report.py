"""The report of a replay: its plan and what it would change, as a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lakehouse.replay.diff import TableDiff
from lakehouse.replay.store import Replay
from lakehouse.report.page import render_page
from lakehouse.settings import Settings

_TEMPLATES: Final = Path(__file__).parent / "templates"


def path(settings: Settings, number: int) -> Path:
    """Where the page lies, below the reports that Airflow serves."""
    return settings.home / "reports" / "replays" / f"{number}.html"


def write(settings: Settings, replay: Replay, diffs: Sequence[TableDiff]) -> Path:
    """Writes the page; returns its path."""
    page = path(settings, replay.id)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        render_page(_TEMPLATES, "replay.html.j2", replay=replay, plan=replay.plan, diffs=diffs), encoding="utf-8"
    )
    return page
