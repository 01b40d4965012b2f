"""Charts as SVG that follows the page's colours, light and dark. Imports matplotlib, which takes half a second."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lakehouse.report.result import MicroBatch, Step

SERIES: Final = 7
"""How many colours the style sheet has for series; the last is for what is summed up as "other"."""

# matplotlib knows fixed colours only: it draws with these, and they become the style sheet's variables afterwards.
_INK: Final = "#010101"
_SOFT: Final = "#020202"
_GRID: Final = "#030303"
_SERIES: Final = [f"#0{n}0a0a" for n in range(1, SERIES + 1)]
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _GRID: "var(--grid)",
    **{colour: f"var(--series-{n})" for n, colour in enumerate(_SERIES, 1)},
}
# Any: matplotlib types its settings' names, and a merged dictionary forgets them.
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": _GRID,
    "grid.linewidth": 1,
}
_WIDTH: Final = 10.0


def timeline(steps: Sequence[Step]) -> str:
    """Each step as a bar from where it began to where it ended, with its seconds."""
    with rc_context(_STYLE | {"svg.hashsalt": "timeline"}):
        figure = Figure(figsize=(_WIDTH, 0.34 * len(steps) + 0.5), layout="constrained")
        axes = figure.subplots()
        begins = [sum(step.seconds for step in steps[:n]) for n in range(len(steps))]
        total = sum(step.seconds for step in steps) or 1.0
        axes.barh(range(len(steps)), [s.seconds for s in steps], left=begins, height=0.6, color=_SERIES[0])
        for row, (begin, step) in enumerate(zip(begins, steps, strict=True)):
            end = begin + step.seconds
            before = end > 0.85 * total
            axes.text(
                begin - 0.006 * total if before else end + 0.006 * total,
                row,
                f"{step.seconds:,.1f} s",
                va="center",
                ha="right" if before else "left",
                color=_SOFT,
            )
        _names(axes, [step.name for step in steps])
        axes.set_xlim(0, total)
        axes.set_xlabel("seconds since the start")
        return _svg(figure)


def bars(values: dict[str, float], unit: str) -> str:
    """One horizontal bar per name, largest first."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    with rc_context(_STYLE | {"svg.hashsalt": "bars"}):
        figure = Figure(figsize=(_WIDTH, 0.32 * len(ordered) + 0.5), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(ordered)), [value for _, value in ordered], height=0.6, color=_SERIES[0])
        for row, (_, value) in enumerate(ordered):
            axes.annotate(f"{value:,.0f}", (value, row), (6, 0), textcoords="offset points", va="center", color=_SOFT)
        _names(axes, [name for name, _ in ordered])
        axes.set_xlim(0, max(values.values()) * 1.08)
        axes.set_xlabel(unit)
        return _svg(figure)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """A line per name, in the order of the colours; `across` and `up` say what the axes are."""
    with rc_context(_STYLE | {"svg.hashsalt": "lines"}):
        figure = Figure(figsize=(_WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        for colour, points in zip(_SERIES, series.values(), strict=False):
            axes.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.6)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        return _svg(figure)


def micro_batches(batches: Sequence[MicroBatch]) -> tuple[str, list[str]]:
    """Rows per batch above, seconds per step below; and the names of the coloured steps, in colour order.

    Batches stand side by side in their order, whatever the time between them.
    """
    names = largest_steps(batches)
    with rc_context(_STYLE | {"svg.hashsalt": "batches"}):
        figure = Figure(figsize=(_WIDTH, 4.4), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2])
        places = range(len(batches))
        above.bar(places, [b.input_rows for b in batches], width=0.8, color=_SERIES[-1])
        above.set_ylabel("rows")
        above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        bottom = [0.0] * len(batches)
        for number, name in enumerate(names):
            heights = [_seconds(batch, name, names) for batch in batches]
            below.bar(places, heights, bottom=bottom, width=0.8, color=_SERIES[_colour(number, names)])
            bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
        below.set_xlim(-0.6, max(len(batches), 10) - 0.4)
        below.set_ylabel("seconds")
        below.set_xlabel("batch")
        below.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
        below.xaxis.set_major_formatter(
            FuncFormatter(lambda place, _: str(batches[int(place)].batch_id) if 0 <= place < len(batches) else "")
        )
        for axes in (above, below):
            axes.grid(axis="y")
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        return _svg(figure), names


def largest_steps(batches: Sequence[MicroBatch]) -> list[str]:
    """The steps that took longest in all, in the order in which they run, then "other" for the rest.

    Tables are left out: they run side by side within a step, and stacked they would count twice.
    """
    totals: dict[str, float] = {}
    for batch in batches:
        for name, seconds in batch.steps.items():
            if "." not in name:
                totals[name] = totals.get(name, 0.0) + seconds
    shown = set(sorted(totals, key=lambda name: -totals[name])[: SERIES - 1])
    return [name for name in totals if name in shown] + ["other"]


def _colour(number: int, names: list[str]) -> int:
    return SERIES - 1 if number == len(names) - 1 else number


def _seconds(batch: MicroBatch, name: str, names: list[str]) -> float:
    if name != "other":
        return batch.steps.get(name, 0.0)
    return max(0.0, batch.seconds - sum(batch.steps.get(shown, 0.0) for shown in names))


def _names(axes: Any, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=_INK)
    axes.invert_yaxis()
    axes.grid(axis="x")


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub("|".join(_VARIABLES), lambda found: _VARIABLES[found.group()], drawn)
    # The page's own typeface, and the page's width instead of the figure's.
    drawn = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", drawn)
    return re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", drawn))
