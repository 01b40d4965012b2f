"""The overview as a page."""

from collections.abc import Sequence
from itertools import chain
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
    reasons = [row.unknown for row in found.jobs] + [row.unknown for row in found.tables]
    return render_page(
        _TEMPLATES,
        "overview.html.j2",
        o=found,
        links=links,
        explained=EXPLAINED,
        wrong=[row.job for row in found.jobs if row.wrong] + [row.table for row in found.tables if row.wrong],
        unknown=list(dict.fromkeys(chain.from_iterable(reasons))),
        ago=lambda at: duration((found.at - at).total_seconds()),
        duration=duration,
    )
