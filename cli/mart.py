"""``lakehouse mart``: the daily marts."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

import typer

from cli.times import parse_time
from jobs.rust_engines.publish import MARTS, publish_day
from lakehouse.settings import load_settings

app = typer.Typer(help="The daily marts: compute by both engines, compare, publish.", no_args_is_help=True)
_NAMES: Final = [name.removeprefix("marts.") for name in MARTS]


class EngineName(StrEnum):
    POLARS = "polars"
    DATAFUSION = "datafusion"


@app.callback()
def group() -> None:
    """The daily marts."""


@app.command(
    epilog="Examples: lakehouse mart run --day 2024-03-01 | "
    "lakehouse mart run region_daily --day 2024-03-01 --until 2024-03-07 --engine datafusion | "
    "lakehouse mart run session_funnel --day 2024-03-01 --as-of 2024-03-02T08:00:00Z"
)
def run(
    marts: Annotated[
        list[str] | None,
        typer.Argument(help=f"{', '.join(_NAMES)}; all without one.", autocompletion=lambda: _NAMES),
    ] = None,
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="UTC day.")] = ...,  # type: ignore[assignment]
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; the same day without it.")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Whose result is published; both must agree.")] = EngineName.POLARS,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="From the tables as they were at this time, ISO 8601; UTC unless it says otherwise. History is kept "
            "for 7 days."
        ),
    ] = None,
) -> None:
    """Replace the marts' rows of a day, or of some days, each in one commit. Repeating it changes nothing."""
    settings = load_settings()
    moment = parse_time("--as-of", as_of) if as_of else None
    last = until or day
    if last < day:
        raise typer.BadParameter("--until lies before --day")
    while day <= last:
        for mart in marts or list(MARTS):
            done = publish_day(settings, mart, day.date(), engine.value, moment)
            seconds = ", ".join(f"{name} {spent:.2f} s" for name, spent in done.seconds.items())
            typer.echo(f"{done.day} {done.mart}: {done.rows:,} rows in version {done.version} ({seconds}; equal)")
        day += timedelta(days=1)
