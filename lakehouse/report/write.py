"""Rendering a demo's result: ``index.html`` to look at, ``result.json`` to parse."""

import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from lakehouse.report.page import render_page
from lakehouse.report.result import DemoResult, MicroBatch

_TEMPLATES: Final = Path(__file__).parent / "templates"


def write_report(result: DemoResult, directory: Path) -> Path:
    """Writes both files into `directory`, creating it; returns the page's path. The page loads nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "result.json").write_text(result.to_json() + "\n", encoding="utf-8")
    page = directory / "index.html"
    page.write_text(render_report(result), encoding="utf-8")
    return page


def render_report(result: DemoResult) -> str:
    """The page."""
    return render_page(
        _TEMPLATES,
        "report.html.j2",
        r=result,
        started=f"{datetime.fromtimestamp(result.started_at_ms / 1000, UTC):%Y-%m-%d %H:%M UTC}",
        failures=failures(result),
        checks=len(result.demands) + len(result.tables) + len(result.accounts) + (result.ledger is not None),
        step_medians=step_medians(result.batches),
        charts=_charts(result),
    )


def failures(result: DemoResult) -> list[str]:
    """What did not hold, one sentence each."""
    said = [f"{d.name}: {d.detail}" if d.detail else d.name for d in result.demands if not d.held]
    said += [
        f"{t.table}: {t.missing:,} rows missing, {t.unexpected:,} unexpected, {t.different:,} different"
        if t.rows_compared
        else f"{t.table}: no rows were compared"
        for t in result.tables
        if not t.equal
    ]
    said += [f"{a.topic}: its records do not add up" for a in result.accounts if not a.balanced]
    return said + [f"ledger: {finding}" for finding in (result.ledger.findings if result.ledger else ())]


def step_medians(batches: list[MicroBatch]) -> list[tuple[str, float, float, int]]:
    """Of each step: name, median and highest seconds, and in how many batches it ran; in the order they run."""
    seconds: dict[str, list[float]] = {}
    for batch in batches:
        for name, spent in batch.steps.items():
            seconds.setdefault(name, []).append(spent)
    return [(name, statistics.median(spent), max(spent), len(spent)) for name, spent in seconds.items()]


def _charts(result: DemoResult) -> dict[str, Any]:
    from lakehouse.report import charts  # matplotlib takes half a second, and only this needs it

    drawn: dict[str, Any] = {"timeline": None, "memory": None, "batches": None, "batch_steps": []}
    if result.steps:
        drawn["timeline"] = Markup(charts.timeline(result.steps))  # noqa: S704  matplotlib escapes its texts
    if result.peak_memory_bytes:
        megabytes = {name: size / 1e6 for name, size in result.peak_memory_bytes.items()}
        drawn["memory"] = Markup(charts.bars(megabytes, "MB at the peak"))  # noqa: S704
    if result.batches:
        svg, names = charts.micro_batches(result.batches)
        colours = [*range(1, len(names)), charts.SERIES]
        drawn["batches"] = Markup(svg)  # noqa: S704
        drawn["batch_steps"] = list(zip(names, colours, strict=True))
    return drawn
