"""``lakehouse explain``: from a row back to Kafka's records."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse.errors import explained
from lakehouse.explain import EXPLAINED, Explanation, Status
from lakehouse.explain import explain as explain_row
from lakehouse.explain.explanation import Change, counts, plain
from lakehouse.settings import load_settings

app = typer.Typer()
_console: Final = Console(highlight=False)
_IMPOSSIBLE: Final = 2
SHOWN_RECORDS: Final = 20
"""How many records are printed unless told otherwise."""


@app.command(
    epilog="Examples: lakehouse explain gold.product_metrics_5m p42 2026-03-01T14:00 | "
    "lakehouse explain gold.user_totals u0000007 --limit 5 | "
    "lakehouse explain marts.region_daily 2026-03-01 north --json > why.json"
)
def explain(
    name: Annotated[
        str,
        typer.Argument(metavar="TABLE", help=f"One of {', '.join(EXPLAINED)}.", autocompletion=lambda: list(EXPLAINED)),
    ],
    key: Annotated[list[str], typer.Argument(help="The row's key: its values in the order of `lakehouse table show`.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"At most so many records; {SHOWN_RECORDS} for people, else all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the Kafka records behind a row: counted, late, left out; and the commit that last changed it, and why.

    Exit status 0: the row's events and fingerprint are those of the records' raw values; 1: they are not;
    2: it could not be told, as there is no such row, or a service is down.
    """
    try:
        found = explain_row(load_settings(), name, key)
    except Exception as error:
        message = explained(error)
        if message is None:
            raise
        Console(stderr=True, highlight=False).print(message, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(_IMPOSSIBLE) from error
    if as_json:
        typer.echo(json.dumps(found.to_dict(limit)))
    else:
        _show(found, limit or SHOWN_RECORDS)
    raise typer.Exit(0 if found.adds_up else 1)


def _show(found: Explanation, limit: int) -> None:
    _console.print(f"[bold]{found.table}[/] version {found.version}")
    _show_row(found.row)
    _show_change(found.changed, found.row)
    read = ", ".join(f"{name} {version}" for name, version in found.read.items())
    _console.print(f"\nMade of {_counted(found)}, by {read}:", markup=False, soft_wrap=True)
    _show_records(found, limit)
    for note in found.notes:
        _console.print(f"Note: {note}", markup=False, style="yellow", soft_wrap=True)
    for flaw in found.flaws:
        _console.print(f"Does not add up: {flaw}", markup=False, style="red", soft_wrap=True)
    if found.adds_up:
        events, fingerprint = found.claimed
        _console.print(
            f"[green]It adds up[/]: {events:,} events, and the hashes of their raw values sum to the fingerprint "
            f"{fingerprint}",
            soft_wrap=True,
        )
    else:
        _console.print("`lakehouse audit` says where it went wrong.", markup=False, style="red")
    _console.print(f"[dim]{sum(found.seconds.values()):.1f} s[/]")


def _show_row(row: Mapping[str, Any]) -> None:
    width = max(map(len, row))
    for name, value in plain(row).items():
        _console.print(f"[dim]{name:>{width}}[/]  {_cell(value)}", soft_wrap=True)


def _show_change(change: Change | None, row: Mapping[str, Any]) -> None:
    if change is None:
        return
    _console.print(
        f"\nLast changed by {change.why}: version {change.version}, {change.at:%Y-%m-%d %H:%M:%SZ}",
        markup=False,
        soft_wrap=True,
    )
    if change.before is None:
        _console.print("  it was not there before")
        return
    before, after = plain(change.before), plain(row)
    for name in (n for n in after if before[n] != after[n]):
        _console.print(f"  [dim]{name}[/]  {_cell(before[name])} -> {_cell(after[name])}", soft_wrap=True)


def _counted(found: Explanation) -> str:
    """``12 records (9 on_time, 3 late); left out: 1 duplicate``"""
    lateness = ", ".join(f"{count:,} {name}" for name, count in counts(found.of(Status.COUNTED), "lateness").items())
    others = {name: count for name, count in counts(found.records, "status").items() if name != Status.COUNTED}
    beside = "; not counted: " + ", ".join(f"{count:,} {name}" for name, count in others.items()) if others else ""
    records = found.of(Status.COUNTED).height
    return f"{records:,} record{'s'[: records != 1]} ({lateness}){beside}"


def _show_records(found: Explanation, limit: int) -> None:
    shown = Table(box=None, pad_edge=False)
    for name in ("record", "status", "lateness", "event time", "arrival"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("value", overflow="fold")
    for record in found.records.head(limit).to_dicts():
        instead, values = record["instead"], plain(record)
        place = f"{record['topic']}[{record['partition']}] {record['offset']}"
        status = record["status"] + (f" of [{instead['partition']}] {instead['offset']}" if instead else "")
        cells = (place, status, record["lateness"], values["event_time"], values["arrival"], values["value"])
        shown.add_row(*map(_cell, cells))
    _console.print(shown)
    if found.records.height > limit:
        _console.print(f"[dim]{found.records.height - limit:,} more: --limit, or --json for all[/]")


def _cell(value: Any) -> str:
    return "[dim]null[/]" if value is None else escape(str(value))
