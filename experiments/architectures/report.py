"""The comparison as a page and as JSON."""

import json
import statistics
from pathlib import Path
from typing import Final

from markupsafe import Markup

from experiments.architectures import code
from experiments.architectures.result import ARCHITECTURES, Live, Result
from experiments.architectures.scale import reckon
from lakehouse.report.page import render_page

_TEMPLATES: Final = Path(__file__).parent / "templates"


def write(result: Result, directory: Path) -> Path:
    """Writes ``index.html`` and ``result.json`` into `directory`; returns the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "result.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    page = directory / "index.html"
    page.write_text(render(result), encoding="utf-8")
    return page


def render(result: Result) -> str:
    """The page."""
    from lakehouse.report import charts  # matplotlib takes half a second, and only this needs it

    live = {name: of for name in ARCHITECTURES if (of := [each for each in result.live if each.architecture == name])}
    fresh = {name: of[0].freshness.over_time for name, of in live.items() if of[0].freshness is not None}
    drawn = charts.lines(fresh, "seconds since the first click arrived", "seconds until counted") if fresh else None
    costs = {
        f"{each.architecture}: {name}": used.cpu_seconds for each in result.live for name, used in each.used.items()
    }
    return render_page(
        _TEMPLATES,
        "architectures.html.j2",
        r=result,
        live={name: _rows(of) for name, of in live.items()},
        corrections=[(c, c.used) for c in result.corrections],
        reckoned=reckon(result),
        code_lines={name: code.lines(files) for name, files in code.FILES.items()},
        shared_lines=code.lines(code.SHARED),
        places=code.PLACES,
        fresh_names=list(fresh),
        fresh_chart=Markup(drawn) if drawn else None,  # noqa: S704  matplotlib escapes its texts
        cpu_chart=Markup(charts.bars(costs, "CPU seconds")) if costs else None,  # noqa: S704
    )


def _rows(of: list[Live]) -> list[tuple[str, str]]:
    """Medians of an architecture's repeats, as text."""
    total = [each.total for each in of]
    middle = statistics.median
    rows = [
        ("records", f"{middle([each.records for each in of]):,.0f}"),
        ("CPU seconds", f"{middle([u.cpu_seconds for u in total]):,.1f}"),
        ("CPU, microseconds a record", f"{1e6 * middle([each.total.cpu_seconds / each.records for each in of]):,.0f}"),
        ("peak memory, MB", f"{middle([u.memory_bytes for u in total]) / 1e6:,.0f}"),
        ("read, MB", f"{middle([u.read_bytes for u in total]) / 1e6:,.1f}"),
        ("written, MB", f"{middle([u.written_bytes for u in total]) / 1e6:,.1f}"),
        ("objects stored beside bronze", f"{middle([each.stored.objects for each in of]):,.0f}"),
        ("bytes stored beside bronze, MB", f"{middle([each.stored.size_bytes for each in of]) / 1e6:,.1f}"),
        ("batch runs", f"{middle([each.batch_runs for each in of]):,.0f}"),
        (
            "CPU seconds of Kafka and MinIO meanwhile",
            f"{middle([sum(u.cpu_seconds for u in each.shared.values()) for each in of]):,.1f}",
        ),
    ]
    fresh = [each.freshness for each in of if each.freshness is not None]
    if fresh:
        rows += [
            (f"freshness {name}, seconds", f"{middle([getattr(each, field) for each in fresh]):,.1f}")
            for name, field in (("p50", "p50"), ("p99", "p99"), ("highest", "highest"))
        ]
    return rows
