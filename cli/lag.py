"""``lakehouse lag``: how far each consumer is behind Kafka, why, and what to do."""

import json
from contextlib import nullcontext
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from cli.output import console, errors, print_table, styled, working
from lakehouse.drained import Look, consumers, look
from lakehouse.settings import load_settings

app = typer.Typer()


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command(
    epilog="Examples: lakehouse lag | lakehouse lag ingest --measure 120 | lakehouse lag --rate 10000 | "
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
    measuring = working(f"looking for {measure:g} s how fast records come and are done", errors)
    with measuring if measure else nullcontext():
        found = look(load_settings(), names or consumers(), measure, rate)
    if format is Format.JSON:
        typer.echo(json.dumps(found.to_list()))
        return
    print_table(_table(found))
    console.print(f"Behind: {', '.join(found.behind)}" if found.behind else "Nobody is behind.")
    for line in found.lines():
        console.print(line)
    if any(each.lag and each.catch_up_seconds is None for each in found.diagnoses):
        console.print("How long it takes: --measure 60 looks, --rate 10000 assumes.", style="dim")


def _table(found: Look) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("consumer", "topic"):
        table.add_column(name)
    for name in ("partition", "end", "position", "lag"):
        table.add_column(name, justify="right")
    table.add_column("why")
    shown: set[str] = set()
    for each in found.lags:
        table.add_row(
            "" if each.consumer in shown else each.consumer,
            each.topic,
            str(each.partition),
            f"{each.end:,}",
            "-" if each.position is None else f"{each.position:,}",
            styled((f"{each.lag:,}", "yellow" if each.lag else "")),
            ", ".join(found.causes(each)),
        )
        shown.add(each.consumer)
    return table
