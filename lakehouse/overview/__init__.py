"""Every job and table at a glance, as data and as a page: as it was last known, and how long ago that was."""

from lakehouse.overview.gather import Overview, overview
from lakehouse.overview.jobs import JobRow
from lakehouse.overview.page import render_overview
from lakehouse.overview.tables import Checked, Compared, TableRow

__all__ = [
    "Checked",
    "Compared",
    "JobRow",
    "Overview",
    "TableRow",
    "overview",
    "render_overview",
]
