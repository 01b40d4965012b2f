"""``lakehouse lag``: how far each consumer is behind Kafka, why, and what to do."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from lakehouse.drained import Diagnosis, Lag, Pace, consumers, diagnose, hot_partitions, lags, top_keys
from lakehouse.settings import Settings, load_settings

app = typer.Typer()
_console: Final = Console(highlight=False)
_progress: Final = Console(stderr=True, highlight=False)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command(
    epilog="Examples: lakehouse lag | lakehouse lag spark_lakehouse --measure 120 | lakehouse lag --rate 10000 | "
    "lakehouse lag --format json"
)
def lag(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(consumers())}; all without one.", metavar="[CONSUMER]...")
    ] = None,
    measure: Annotated[
        float,
        typer.Option(
            help="Look for so many seconds how fast records come and are done: longer than a consumer's commits are "
            "apart (Spark's a micro-batch, Flink's a checkpoint).",
            min=0,
        ),
    ] = 0,
    rate: Annotated[
        float | None, typer.Option(help="Assume that each consumer does so many records per second.", min=0)
    ] = None,
    format: Annotated[Format, typer.Option(help="For people or for programs.")] = Format.TABLE,
) -> None:
    """Show by consumer and partition where Kafka ends, what is done, and how many records lie between; and why.

    Spark's position is its checkpoint: what lies before it is in the tables. The others' are their groups' commits.
    """
    unknown = sorted(set(names or ()) - set(consumers()))
    if unknown:
        raise typer.BadParameter(f"no consumer {', '.join(unknown)}; known: {', '.join(consumers())}")
    found, pace, diagnoses = _diagnosed(load_settings(), names or consumers(), measure, rate)
    if format is Format.JSON:
        typer.echo(json.dumps(_plain(found, pace, diagnoses)))
        return
    _console.print(_table(found, diagnoses))
    behind = {each.consumer for each in found if each.lag}
    _console.print(f"Behind: {', '.join(sorted(behind))}" if behind else "Nobody is behind.")
    for each in diagnoses:
        _show(each)
    if any(each.lag and each.catch_up_seconds is None for each in diagnoses):
        _console.print("[dim]How long it takes: --measure 60 looks, --rate 10000 assumes.[/]")


def _diagnosed(
    settings: Settings, names: Sequence[str], seconds: float, rate: float | None
) -> tuple[list[Lag], Pace | None, list[Diagnosis]]:
    found, pace = lags(settings, names), None
    if seconds:
        before, began = found, time.monotonic()
        with _progress.status(f"looking for {seconds:g} s how fast records come and are done"):
            time.sleep(seconds)
            found = lags(settings, names)
        pace = Pace.between(before, found, time.monotonic() - began)
    hot = hot_partitions(found, pace)
    keys = top_keys(settings, (each for each in found if each.lag and (each.topic, each.partition) in hot))
    return found, pace, diagnose(found, pace, rate, keys)


def _show(found: Diagnosis) -> None:
    if not found.lag:
        return
    took = found.catch_up_seconds
    when = ""
    if took is not None:
        when = f"; done in {_duration(took)}" if isfinite(took) else "; never done at this rate"
    records = f"{found.lag:,} record{'s'[: found.lag != 1]}"
    _console.print(f"\n{found.consumer} on {found.topic}: {records}{when}", markup=False, soft_wrap=True)
    for advice in found.advice:
        _console.print(f"  {advice}", markup=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _plain(found: Sequence[Lag], pace: Pace | None, diagnoses: Sequence[Diagnosis]) -> list[dict[str, Any]]:
    """An entry per consumer and partition; what is said of consumer and topic stands in each of theirs."""
    of = {(each.consumer, each.topic): each for each in diagnoses}
    entries = []
    for each in found:
        said, place = of[each.consumer, each.topic], (each.topic, each.partition)
        took = said.catch_up_seconds
        entries.append(
            asdict(each)
            | {
                "lag": each.lag,
                "causes": said.causes.get(each.partition, ()),
                "produced_per_second": pace and round(pace.produced[place], 3),
                "consumed_per_second": pace and round(pace.consumed[each.consumer, place], 3),
                "catch_up_seconds": round(took, 1) if took is not None and isfinite(took) else None,
                "advice": said.advice,
            }
        )
    return entries


def _table(found: Sequence[Lag], diagnoses: Sequence[Diagnosis]) -> Table:
    causes = {(each.consumer, each.topic): each.causes for each in diagnoses}
    table = Table(box=None, pad_edge=False)
    for name in ("consumer", "topic"):
        table.add_column(name)
    for name in ("partition", "end", "position", "lag"):
        table.add_column(name, justify="right")
    table.add_column("why")
    shown: set[str] = set()
    for each in found:
        table.add_row(
            "" if each.consumer in shown else each.consumer,
            each.topic,
            str(each.partition),
            f"{each.end:,}",
            "-" if each.position is None else f"{each.position:,}",
            f"[yellow]{each.lag:,}[/]" if each.lag else "0",
            ", ".join(causes[each.consumer, each.topic].get(each.partition, ())),
        )
        shown.add(each.consumer)
    return table
