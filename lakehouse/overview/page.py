"""The overview as a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lakehouse.durations import duration
from lakehouse.explain import EXPLAINED
from lakehouse.overview.gather import Overview
from lakehouse.report.page import render_page
from lakehouse.report.result import Link

_TEMPLATES: Final = Path(__file__).parent / "templates"


def render_overview(found: Overview, links: Sequence[Link]) -> str:
    """The page. `links`: where to look next."""
    return render_page(
        _TEMPLATES,
        "overview.html.j2",
        o=found,
        links=links,
        explained=EXPLAINED,
        wrong=[row.job for row in found.jobs if not row.ok] + [row.table for row in found.tables if not row.ok],
        ago=lambda at: duration((found.at - at).total_seconds()),
        duration=duration,
    )
