"""``lakehouse lag``: how far each consumer is behind Kafka."""

import json
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from lakehouse.drained import Lag, consumers, lags
from lakehouse.settings import load_settings

app = typer.Typer()
_console: Final = Console(highlight=False)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command(epilog="Examples: lakehouse lag | lakehouse lag spark_lakehouse | lakehouse lag --format json")
def lag(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(consumers())}; all without one.", metavar="[CONSUMER]...")
    ] = None,
    format: Annotated[Format, typer.Option(help="For people or for programs.")] = Format.TABLE,
) -> None:
    """Show by consumer and partition where Kafka ends, what is done, and how many records lie between.

    Spark's position is its checkpoint: what lies before it is in the tables. The others' are their groups' commits.
    """
    unknown = sorted(set(names or ()) - set(consumers()))
    if unknown:
        raise typer.BadParameter(f"no consumer {', '.join(unknown)}; known: {', '.join(consumers())}")
    found = lags(load_settings(), names or consumers())
    if format is Format.JSON:
        typer.echo(json.dumps([asdict(each) | {"lag": each.lag} for each in found]))
        return
    _console.print(_table(found))
    behind = {each.consumer for each in found if each.lag}
    _console.print(f"Behind: {', '.join(sorted(behind))}" if behind else "Nobody is behind.")


def _table(found: list[Lag]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("consumer", "topic"):
        table.add_column(name)
    for name in ("partition", "end", "position", "lag"):
        table.add_column(name, justify="right")
    shown: set[str] = set()
    for each in found:
        table.add_row(
            "" if each.consumer in shown else each.consumer,
            each.topic,
            str(each.partition),
            f"{each.end:,}",
            "-" if each.position is None else f"{each.position:,}",
            f"[yellow]{each.lag:,}[/]" if each.lag else "0",
        )
        shown.add(each.consumer)
    return table
