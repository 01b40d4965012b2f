"""``lakehouse audit``: every Kafka record followed into the tables, once all is drained."""

import json
from dataclasses import astuple
from typing import Annotated, Final

import typer
from rich.table import Table

from cli.output import console, errors, print_table, styled, working
from lakehouse.drained import DrainState, wait_until_drained
from lakehouse.errors import explained
from lakehouse.ledger import VARIANTS, Audit
from lakehouse.ledger import audit as audit_ledger
from lakehouse.settings import load_settings

app = typer.Typer()
_IMPOSSIBLE: Final = 2


@app.command(
    epilog="Examples: lakehouse audit | lakehouse audit --wait 120 | lakehouse audit --full --json > audit.json | "
    "lakehouse audit --table bronze.clicks__migrated"
)
def audit(
    wait: Annotated[float, typer.Option(help="Seconds to wait until everything is drained.", min=0)] = 60,
    full: Annotated[
        bool, typer.Option("--full", help="Read again what earlier audits have read: all of Kafka, all raw values.")
    ] = False,
    live: Annotated[bool, typer.Option(help="Redis too, for which Flink and the dashboard writer must run.")] = True,
    variant: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="TABLE",
            help=f"Audit one of {', '.join(VARIANTS)} alone, as it is now: its writers must have caught up.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Follow every record that Kafka holds now into bronze, silver and what is made of it, and add it all up.

    Exit status 0: 0 lost, 0 doubled, 0 altered; 1: a difference, named by topic, partition and offsets, or by key;
    2: it could not be told, as a service is down, or the tables are behind. Also written to ops.ledger.
    """
    if variant is not None and variant not in VARIANTS:
        raise typer.BadParameter(f"{variant} is none of {', '.join(VARIANTS)}", param_hint="--table")
    try:
        result = _run(wait, live, full, variant)
    except Exception as error:
        message = explained(error)
        if message is None:
            raise
        errors.print(message, style="red")
        raise typer.Exit(_IMPOSSIBLE) from error
    if as_json:
        typer.echo(json.dumps(result.to_dict()))
    else:
        show_audit(result)
    raise typer.Exit(0 if result.clean else 1)


def _run(wait: float, live: bool, full: bool, variant: str | None) -> Audit:
    settings = load_settings()
    with working("looking whether all is drained", errors) as say:

        def waiting(state: DrainState) -> None:
            if hop := state.waiting_for:
                say(f"waiting for {hop.name}: {hop.missing}")

        if variant is not None:
            return audit_ledger(settings, full=full, variant=variant, progress=say)
        ends = wait_until_drained(settings, wait, waiting, live=live, refreshes=False, ingest=True)
        return audit_ledger(settings, ends, live=live, full=full, progress=say)


def show_audit(result: Audit) -> None:
    """The records of each topic; the sums of partitions are in JSON and in ops.ledger."""
    table = Table(box=None, pad_edge=False)
    table.add_column("topic")
    for name in ("Kafka", "= bronze", "+ dead letters", "bronze = silver", "+ duplicate", "+ superseded", "known lost"):
        table.add_column(name, justify="right")
    for account in result.accounts:
        topic, *counts = astuple(account)
        table.add_row(topic, *(f"{count:,}" for count in counts))
    print_table(table)
    if result.derived:
        print_table(_derived(result))
    for note in result.notes:
        console.print(f"Not audited: {note}", style="yellow")
    for finding in result.findings:
        console.print(f"  {finding}", style="red")
    console.print(
        styled(
            (result.summary, "green" if result.clean else "red"),
            f", {result.read:,} of them read from Kafka now, in {result.seconds:.1f} s; appended to ops.ledger as "
            f"{result.run_id}",
        )
    )


def _derived(result: Audit) -> Table:
    rows = Table("made of events", "version", "events in its rows", "sum of their hashes", box=None, pad_edge=False)
    for column in rows.columns[1:]:
        column.justify = "right"
    for each in result.derived:
        version = "-" if each.version is None else str(each.version)
        rows.add_row(each.table, version, f"{each.records:,}", f"{each.hash_sum:,}")
    return rows
