"""The overview as a page."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from lakehouse.durations import duration
from lakehouse.explain import EXPLAINED
from lakehouse.overview.doubts import NEVER
from lakehouse.overview.gather import Overview
from lakehouse.report.page import render_page
from lakehouse.report.result import Link

_TEMPLATES: Final = Path(__file__).parent / "templates"
GATHERING_SECONDS: Final = 2
"""After which the page looks again while answers are on their way."""


def render_overview(found: Overview, links: Sequence[Link], again_seconds: float) -> str:
    """The page. `links`: where to look next. It looks again by itself, without a script: soon while answers are on
    their way, else after `again_seconds`."""
    reasons = [row.unknown for row in found.jobs] + [row.unknown for row in found.tables]
    return render_page(
        _TEMPLATES,
        "overview.html.j2",
        o=found,
        links=links,
        explained=EXPLAINED,
        never=NEVER,
        again=GATHERING_SECONDS if found.gathering else round(again_seconds),
        wrong=[row.job for row in found.jobs if row.wrong] + [row.table for row in found.tables if row.wrong],
        unknown=list(dict.fromkeys(chain.from_iterable(reasons))),
        ago=lambda at: duration((found.at - at).total_seconds()),
        duration=duration,
    )
