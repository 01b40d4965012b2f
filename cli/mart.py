"""``lakehouse mart``: the daily marts."""

import json
import re
import time
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Annotated, Any, Final

import polars as pl
import typer
from rich.table import Column, Table

from cli.output import console, print_table, styled
from cli.times import parse_time
from jobs.rust_engines.publications import SupersededError
from jobs.rust_engines.publish import MARTS, estimate_days, look_at, publish_day
from lakehouse.explain.keys import as_pasted
from lakehouse.plain import plain
from lakehouse.settings import load_settings
from lakehouse.time_travel.causes import SourceCommit
from lakehouse.time_travel.difference import Difference, difference

app = typer.Typer(help="The daily marts: compute by both engines, compare, publish.", no_args_is_help=True)
_NAMES: Final = [name.removeprefix("marts.") for name in MARTS]
SHOWN: Final = 20
"""How many rows of each kind, and how many events, are printed unless told otherwise."""


class EngineName(StrEnum):
    POLARS = "polars"
    DATAFUSION = "datafusion"


Marts = Annotated[
    list[str] | None, typer.Argument(help=f"{', '.join(_NAMES)}; all without one.", autocompletion=lambda: _NAMES)
]
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="UTC day.")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; the same day without it.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        help="From the tables as they were at this time, ISO 8601; UTC unless it says otherwise. History is kept for 7 "
        "days."
    ),
]


@app.callback()
def group() -> None:
    """The daily marts."""


@app.command(
    epilog="Examples: lakehouse mart run --day 2024-03-01 | "
    "lakehouse mart run region_daily --day 2024-03-01 --until 2024-03-07 --engine datafusion | "
    "lakehouse mart run session_funnel --day 2024-03-01 --as-of 2024-03-02T08:00:00Z"
)
def run(
    marts: Marts = None,
    day: Day = ...,  # type: ignore[assignment]
    until: Until = None,
    engine: Annotated[EngineName, typer.Option(help="Whose result is published; both must agree.")] = EngineName.POLARS,
    as_of: AsOf = None,
) -> None:
    """Replace the marts' rows of a day, or of some days, each in one commit. Repeating it changes nothing.

    A day that somebody publishes from newer tables meanwhile stays like that, and is told; with --as-of it is replaced.
    """
    settings = load_settings()
    moment = parse_time("--as-of", as_of) if as_of else None
    partitions = [(each, mart) for each in _days(day, until) for mart in marts or list(MARTS)]
    began = time.monotonic()
    for number, (each, mart) in enumerate(partitions, 1):
        try:
            done = publish_day(settings, mart, each, engine.value, moment)
        except SupersededError as stays:
            said = str(stays)
        else:
            seconds = ", ".join(f"{name} {spent:.2f} s" for name, spent in done.seconds.items())
            said = f"{done.day} {done.mart}: {done.rows:,} rows in version {done.version} ({seconds}; equal)"
        left = (time.monotonic() - began) / number * (len(partitions) - number)
        remaining = f"; about {left:.0f} s left" if number < len(partitions) else ""
        typer.echo(f"{number} of {len(partitions)}: {said}{remaining}")


@app.command(
    epilog="Examples: lakehouse mart plan --day 2024-03-01 --until 2024-03-30 | "
    "lakehouse mart plan region_daily --day 2024-03-01 --as-of 2024-03-02T08:00:00Z"
)
def plan(
    marts: Marts = None,
    day: Day = ...,  # type: ignore[assignment]
    until: Until = None,
    as_of: AsOf = None,
) -> None:
    """Show what building a day, or some days, would read, and how long each may take; nothing is computed.

    The time is that of one partition after the other, by the rate of the newest days that were built: at least this
    long, as commits and, in Airflow, checks and tasks come to it.
    """
    settings = load_settings()
    moment = parse_time("--as-of", as_of) if as_of else None
    shown = Table("day", "mart", Column("rows to read", justify="right"), Column("seconds", justify="right"), box=None)
    days = _days(day, until)
    by_mart = {mart: estimate_days(settings, mart, days, moment) for mart in marts or list(MARTS)}
    found = [(each, mart, estimates[each]) for each in days for mart, estimates in by_mart.items()]
    for each, mart, expected in found:
        took = "?" if expected.seconds is None else f"{expected.seconds:.2f}"
        shown.add_row(str(each), mart, f"{expected.rows:,}", took)
    print_table(shown)
    rows = sum(expected.rows for *_, expected in found)
    seconds = sum(expected.seconds or 0 for *_, expected in found)
    unknown = sum(expected.seconds is None for *_, expected in found)
    without = f", without {_counted(unknown, 'partition')} of marts that have no day yet" if unknown else ""
    console.print(f"{rows:,} rows to read, about {seconds:.0f} s{without}")


def _days(first: datetime, until: datetime | None) -> list[date]:
    last = until or first
    if last < first:
        raise typer.BadParameter("--until lies before --day")
    return [first.date() + timedelta(days=n) for n in range((last - first).days + 1)]


@app.command(
    epilog="Examples: lakehouse mart compare region_daily --day 2024-03-01 --as-of 2024-03-02T08:00:00Z | "
    "lakehouse mart compare product_daily --day 2024-03-01 --as-of 2024-03-02 --json > why.json"
)
def compare(
    mart: Annotated[str, typer.Argument(help=f"One of {', '.join(_NAMES)}.", autocompletion=lambda: _NAMES)],
    day: Day,
    as_of: Annotated[
        str,
        typer.Option(
            help="The earlier time, ISO 8601; UTC unless it says otherwise. History is kept for 7 days.",
        ),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"At most so many rows and events; {SHOWN} for people, else all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compute a mart's day from the tables as they were and as they are; show what differs, and why. Publishes nothing.

    Rows that came, went or changed, column by column; the commits of the source tables in between; and the events that
    silver has gained or lost, with their lateness.
    """
    settings, moment = load_settings(), parse_time("--as-of", as_of)
    then = look_at(settings, mart, day.date(), moment)
    found = difference(settings, then, look_at(settings, mart, day.date()))
    if as_json:
        typer.echo(json.dumps(found.to_dict(limit)))
    else:
        _show(found, limit or SHOWN)


def _show(found: Difference, limit: int) -> None:
    then, now = found.then, found.now
    console.print(styled((now.mart, "bold"), f" of {now.day}, as of {then.at:%Y-%m-%d %H:%M:%SZ} and now"))
    versions = ", ".join(f"{name} {then.versions[name]} -> {version}" for name, version in now.versions.items())
    console.print(f"from {versions}")
    if found.equal:
        console.print(f"no difference in {_counted(now.rows.height, 'row')}")
    else:
        console.print(
            f"{_counted(found.added.height, 'row')} added, {found.removed.height:,} removed, {len(found.changed):,} "
            f"changed ({then.rows.height:,} then, {now.rows.height:,} now)"
        )
    _show_rows("+", found.added, limit)
    _show_rows("-", found.removed, limit)
    _show_changed(found, limit)
    changed = "What changed the day in its sources:" if found.commits else "Nothing changed the day in its sources."
    console.print(f"\n{changed}")
    for line in _summaries(found.commits):
        console.print(f"  {line}")
    _show_events(found, limit)


def _show_rows(sign: str, rows: pl.DataFrame, limit: int) -> None:
    for row in rows.head(limit).to_dicts():
        console.print(f"{sign} " + ", ".join(f"{name} {_text(value)}" for name, value in plain(row).items()))
    _say_rest(rows.height, limit)


def _show_changed(found: Difference, limit: int) -> None:
    if not found.changed:
        return
    columns = ", ".join(f"{name} in {rows:,}" for name, rows in found.changed_columns.items())
    console.print(f"\nChanged columns: {columns}")
    shown = Table("row", "column", "then", "now", box=None, pad_edge=False)
    for row in found.changed[:limit]:
        key = as_pasted(row.key)
        then, now = plain(row.then), plain(row.now)
        for n, name in enumerate(now):
            shown.add_row("" if n else key, name, _text(then[name]), _text(now[name]))
    print_table(shown)
    _say_rest(len(found.changed), limit)


def _summaries(commits: Iterable[SourceCommit]) -> Iterator[str]:
    """Commits in a row that say the same but for the number of their batch, as one line."""

    def kind(commit: SourceCommit) -> tuple[str, str]:
        return commit.table, re.sub(r"batch \d+", "batch", commit.why)

    for (name, why), alike in groupby(commits, kind):
        first, *rest = alike
        if rest:
            last = rest[-1]
            yield (
                f"{name} versions {first.version} to {last.version}, {_at(first.at)} to {_at(last.at)}: "
                f"{why}, {len(rest) + 1:,} times"
            )
        else:
            yield f"{name} version {first.version}, {_at(first.at)}: {first.why}"


def _show_events(found: Difference, limit: int) -> None:
    if found.equal:
        return
    if found.events.is_empty():
        console.print("\nThe rows that differ are made of the same events.")
        return
    for change, lateness in found.lateness.items():
        console.print(
            f"\n{_counted(sum(lateness.values()), 'event')} {change} in silver of the rows that differ: "
            + ", ".join(f"{count:,} {name}" for name, count in lateness.items())
        )
    shown = Table("record", "change", "lateness", "event time", "arrival", "key", "event", box=None, pad_edge=False)
    for event in map(plain, found.events.head(limit).to_dicts()):
        place = f"{event['topic']}[{event['partition']}] {event['offset']}"
        columns = ("change", "lateness", "event_time", "arrival", "key", "event_id")
        shown.add_row(place, *(_text(event[column]) for column in columns))
    print_table(shown)
    _say_rest(found.events.height, limit)


def _say_rest(rows: int, limit: int) -> None:
    if rows > limit:
        console.print(f"{rows - limit:,} more: --limit, or --json for all", style="dim")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s'[: number != 1]}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%SZ}"


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
