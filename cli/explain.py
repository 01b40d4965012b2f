"""``lakehouse explain``: from a row back to Kafka's records."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from cli.output import console, errors, print_block, print_rows, styled
from lakehouse.errors import explained
from lakehouse.explain import EXPLAINED, Explanation, Status
from lakehouse.explain import explain as explain_row
from lakehouse.explain.explanation import Change, counts
from lakehouse.plain import plain
from lakehouse.settings import load_settings

app = typer.Typer()
_IMPOSSIBLE: Final = 2
SHOWN_RECORDS: Final = 20
"""How many records are printed unless told otherwise."""


@app.command(
    epilog="Examples: lakehouse explain gold.product_metrics_5m p42 2026-03-01T14:00 | "
    "lakehouse explain gold.user_totals u0000007 --limit 5 | "
    "lakehouse explain marts.region_daily 2026-03-01 north --json > why.json | "
    "lakehouse explain gold.user_totals --limit 5 -- -42"
)
def explain(
    name: Annotated[
        str,
        typer.Argument(metavar="TABLE", help=f"One of {', '.join(EXPLAINED)}.", autocompletion=lambda: list(EXPLAINED)),
    ],
    key: Annotated[
        list[str],
        typer.Argument(
            help="The row's key: its values in the order of `lakehouse table show`, after -- if one begins with a dash."
        ),
    ],
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
        errors.print(message, style="red")
        raise typer.Exit(_IMPOSSIBLE) from error
    if as_json:
        typer.echo(json.dumps(found.to_dict(limit)))
    else:
        _show(found, limit or SHOWN_RECORDS)
    raise typer.Exit(0 if found.adds_up else 1)


def _show(found: Explanation, limit: int) -> None:
    console.print(styled((found.table, "bold"), f" version {found.version}"))
    print_block(plain(found.row))
    _show_change(found.changed, found.row)
    read = ", ".join(f"{name} {version}" for name, version in found.read.items())
    console.print(f"\nMade of {_counted(found)}, by {read}:")
    _show_records(found, limit)
    for note in found.notes:
        console.print(f"Note: {note}", style="yellow")
    for flaw in found.flaws:
        console.print(f"Does not add up: {flaw}", style="red")
    if found.adds_up:
        events, fingerprint = found.claimed
        said = f": {events:,} events, and the hashes of their raw values sum to the fingerprint {fingerprint}"
        console.print(styled(("It adds up", "green"), said))
    else:
        console.print("`lakehouse audit` says where it went wrong.", style="red")
    console.print(f"{sum(found.seconds.values()):.1f} s", style="dim")


def _show_change(change: Change | None, row: Mapping[str, Any]) -> None:
    if change is None:
        return
    console.print(f"\nLast changed by {change.why}: version {change.version}, {change.at:%Y-%m-%d %H:%M:%SZ}")
    if change.before is None:
        console.print("  it was not there before")
        return
    before, after = plain(change.before), plain(row)
    for name in (n for n in after if before[n] != after[n]):
        console.print(styled("  ", (name, "dim"), f"  {_text(before[name])} -> {_text(after[name])}"))


def _counted(found: Explanation) -> str:
    """``12 records (9 on_time, 3 late); left out: 1 duplicate``"""
    lateness = ", ".join(f"{count:,} {name}" for name, count in counts(found.of(Status.COUNTED), "lateness").items())
    others = {name: count for name, count in counts(found.records, "status").items() if name != Status.COUNTED}
    beside = "; not counted: " + ", ".join(f"{count:,} {name}" for name, count in others.items()) if others else ""
    records = found.of(Status.COUNTED).height
    return f"{records:,} record{'s'[: records != 1]} ({lateness}){beside}"


def _show_records(found: Explanation, limit: int) -> None:
    shown = []
    for record in found.records.head(limit).to_dicts():
        instead, values = record["instead"], plain(record)
        place = f"{record['topic']}[{record['partition']}] {record['offset']}"
        status = record["status"] + (f" of [{instead['partition']}] {instead['offset']}" if instead else "")
        times = (values["event_time"], values["arrival"])
        shown.append((place, status, record["lateness"], *times, values["value"]))
    print_rows(("record", "status", "lateness", "event time", "arrival", "value"), shown)
    if found.records.height > limit:
        console.print(f"{found.records.height - limit:,} more: --limit, or --json for all", style="dim")


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
