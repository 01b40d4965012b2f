"""What was measured of an aged installation, as a page with a line for each thing that could have grown."""

from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from lakehouse.report.page import render_page

_TEMPLATES: Final = Path(__file__).parent / "templates"
_GROUPS: Final = {
    "Seconds": ("seconds", "audit_seconds"),
    "Store, MiB": ("store_mib", "live_mib"),
    "Memory and databases, MiB": ("follower_mib", "postgres_mib"),
    "Checkpoints and logs, MiB": ("checkpoints_mib", "logs_mib"),
    "Files and log entries of the table that has most": ("files", "log_entries"),
}
_NAMES: Final = {
    "seconds": "until a cut had a cycle's events",
    "audit_seconds": "audit of what is new",
    "store_mib": "all objects but checkpoints",
    "live_mib": "files of the newest versions",
    "follower_mib": "follower",
    "postgres_mib": "PostgreSQL",
    "checkpoints_mib": "checkpoints of Flink",
    "logs_mib": "logs of all programs",
    "files": "files",
    "log_entries": "log entries",
}


def render(measured: dict[str, Any]) -> str:
    """The page. `measured`: what `Ageing.run` returns, with ``machine`` and ``seed``."""
    from lakehouse.report import charts  # matplotlib takes half a second, and only this needs it

    drawn = []
    for title, names in _GROUPS.items():
        series = {_NAMES[name]: points for name in names if (points := _points(measured["cycles"], name))}
        chart = Markup(charts.lines(series, "cycle", title))  # noqa: S704  matplotlib escapes its texts
        drawn.append((title, list(series), chart))
    answers = list(zip(measured["first_day"], measured["last_day"], strict=True))
    return render_page(_TEMPLATES, "ageing.html.j2", m=measured, charts=drawn, answers=answers)


def _points(cycles: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    values = ((cycle["number"] + 1, (cycle | (cycle["size"] or {})).get(name)) for cycle in cycles)
    return [(number, value) for number, value in values if value is not None]
