"""``lakehouse graph``: who reads what and who writes it, from the contracts."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from cli.output import print_table
from lakehouse.contracts import graph as nodes

app = typer.Typer()


class Format(StrEnum):
    TABLE = "table"
    MERMAID = "mermaid"
    JSON = "json"


@app.command(
    epilog="Examples: lakehouse graph | lakehouse graph gold.alerts | lakehouse graph silver.clicks --downstream | "
    "lakehouse graph --format mermaid"
)
def graph(
    names: Annotated[
        list[str] | None, typer.Argument(help="Topics or tables; everything without one.", metavar="[NAME]...")
    ] = None,
    downstream: Annotated[bool, typer.Option(help="What is computed from NAME, not what NAME is made of.")] = False,
    format: Annotated[Format, typer.Option(help="For people, for a picture, or for programs.")] = Format.TABLE,
) -> None:
    """Show topics, tables and what lies outside, each after what it is computed from, and who writes it."""
    of_names = nodes.downstream if downstream else nodes.upstream
    shown = of_names(names) if names else nodes.LINEAGE
    if format is Format.MERMAID:
        typer.echo(nodes.mermaid(shown))
    elif format is Format.JSON:
        typer.echo(json.dumps([{"name": name, "reads": nodes.sources(name), "by": _by(name)} for name in shown]))
    else:
        print_table(_table(shown))


def _by(name: str) -> list[str]:
    return [job.name for job in nodes.writers(name)] or nodes.owners(name)


def _table(names: Sequence[str]) -> Table:
    table = Table("name", "is computed from", "by")
    for name in names:
        table.add_row(name, ", ".join(nodes.sources(name)), ", ".join(_by(name)))
    return table
