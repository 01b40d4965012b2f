"""``lakehouse dead-letters``: what was set aside as invalid, why, and sending it again."""

import json
from typing import Annotated

import typer
from rich.table import Table

from cli.output import cell, console, print_table, working
from cli.times import parse_time
from lakehouse.contracts.events import EVENTS
from lakehouse.dead_letters import Selection, count_letters, jumps, outgoing
from lakehouse.kafka.feed import feed
from lakehouse.settings import load_settings

app = typer.Typer(help="Records that are no valid events: count them, send them again.", no_args_is_help=True)


@app.command("list", epilog="Examples: lakehouse dead-letters list | lakehouse dead-letters list --json")
def list_letters(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """By topic and reason: how many there are, and when they arrived. Exit status 1 if a topic's share has jumped."""
    settings = load_settings()
    counted, jumped = count_letters(settings), jumps(settings)
    if as_json:
        rows = [
            row | {name: row[name].isoformat() for name in ("first", "last")} for row in counted.iter_rows(named=True)
        ]
        typer.echo(json.dumps({"letters": rows, "jumps": [str(each) for each in jumped]}))
        raise typer.Exit(1 if jumped else 0)
    shown = Table("topic", "reason", "field", "records", "first", "last", box=None, pad_edge=False)
    shown.columns[3].justify = "right"
    for topic, reason, field, records, first, last in counted.iter_rows():
        shown.add_row(*map(cell, (topic, reason, field or "", f"{records:,}", f"{first:%F %TZ}", f"{last:%F %TZ}")))
    print_table(shown)
    for each in jumped:
        console.print(str(each), style="red")
    raise typer.Exit(1 if jumped else 0)


@app.command(
    epilog="Examples: lakehouse dead-letters resend shop.clicks --reason out_of_range --field event_time --dry-run | "
    "lakehouse dead-letters resend shop.clicks --from 2026-03-01T10:00Z --to 2026-03-01T12:00Z"
)
def resend(
    topic: Annotated[str, typer.Argument(help=f"One of {', '.join(EVENTS)}.")],
    reason: Annotated[str | None, typer.Option(help="Only those with this reason.")] = None,
    field: Annotated[str | None, typer.Option(help="Only those that name this field.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Arrived at this time or later.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Arrived before this time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge them, and send nothing.")] = False,
) -> None:
    """Judge dead letters as if they arrived now, and send those that are valid.

    For events that were invalid by their arrival: the broker's clock was behind, or a producer's ahead. What was sent
    stays among the dead letters, as it was one; an event that is sent again counts once.
    """
    if topic not in EVENTS:
        raise typer.BadParameter(f"no topic {topic!r} of events; there are {', '.join(EVENTS)}")
    first, end = (parse_time(name, said) if said else None for name, said in (("--from", since), ("--to", until)))
    settings = load_settings()
    batches = outgoing(settings, Selection(topic, reason, field, first, end))
    with working("judging"):
        fed = feed(settings, batches, send=not dry_run)
    what = "would be sent" if dry_run else "sent"
    console.print(f"{fed.sent.total():,} {what} again")
    for why, records in fed.refused.most_common():
        console.print(f"{records:,} are invalid still: {why}")
