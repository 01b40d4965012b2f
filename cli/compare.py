"""``lakehouse compare``: everything against the reference, once all is drained."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.output import console, errors, print_table, styled, working
from lakehouse.compare import LIVE, SAID, Comparison, TableComparison
from lakehouse.compare import compare as compare_with_reference
from lakehouse.cuts import wait_for_cut
from lakehouse.drained import DrainState, kafka_ends, wait_until_drained
from lakehouse.settings import load_settings

app = typer.Typer()


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command(
    epilog="Examples: lakehouse compare | lakehouse compare gold.user_totals silver.sessions | "
    "lakehouse compare --at-cut | "
    "lakehouse compare --format json > result.json"
)
def compare(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables, redis.* or shop.alerts; all without one.", metavar="[TABLE]...")
    ] = None,
    at_cut: Annotated[
        bool, typer.Option("--at-cut", help="Compare the tables of ingest and follower at a cut: events may flow.")
    ] = False,
    wait_seconds: Annotated[float, typer.Option(help="How long to wait until everything is drained.", min=0)] = 600,
    format: Annotated[Format, typer.Option(help="For people or for programs.")] = Format.TABLE,
) -> None:
    """Wait until all that Kafka holds now has arrived everywhere, then compare once, row for row.

    With --at-cut wait for a cut of it instead. The reference reads Kafka, and of what Kafka has forgotten the raw
    values of bronze whose hashes add up to what the ledger took from Kafka. Exit status 1 if anything differs or is
    unproved, or if there was nothing to compare.
    """
    settings = load_settings()
    if at_cut:
        with working("waiting for a cut", errors) as say:
            cut = wait_for_cut(settings, kafka_ends(settings), wait_seconds, say)
            if unknown := [name for name in names or () if name not in cut.versions]:
                raise typer.BadParameter(f"no cut has {', '.join(unknown)}; it has {', '.join(cut.versions)}")
            every = names or tuple(cut.versions)
            result = compare_with_reference(settings, every, cut.ends, say, versions=cut.versions)
        _report(result, format)
        return
    with working("waiting until drained", errors) as say:

        def waiting(state: DrainState) -> None:
            hop = state.waiting_for
            if hop:
                say(f"waiting for {hop.name}: {hop.missing}")

        said = not names or not set(names).isdisjoint(SAID)
        live = said or not set(names or ()).isdisjoint(LIVE)
        ends = wait_until_drained(settings, wait_seconds, waiting, live=live, said=said)
        result = compare_with_reference(settings, names or (), ends, say)
    _report(result, format)


def _report(result: Comparison, format: Format) -> None:
    if format is Format.JSON:
        typer.echo(json.dumps(result.to_dict()))
    else:
        _show(result)
    if not result.equal:
        raise typer.Exit(1)


def _show(result: Comparison) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("table", overflow="fold")
    for name in ("version", "rows", "missing", "unexpected", "different"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in result.tables:
        counts = (each.missing, each.unexpected, each.different)
        table.add_row(
            each.table,
            "-" if each.version is None else str(each.version),
            f"{each.rows_compared:,}",
            *(styled((f"{count:,}", "red" if count else "")) for count in counts),
            _verdict(each),
        )
    print_table(table)
    for each in result.tables:
        for example in each.examples:
            console.print(f"  {each.table}: {example}", style="red")
    for each in result.tables:
        if each.aside:
            more = "; ..." if each.aside > len(each.aside_named) else ""
            console.print(
                f"  {each.table}: {each.aside:,} rows stand aside without their sum of money, which fits no 64 bits: "
                f"{'; '.join(each.aside_named)}{more}",
                style="yellow",
            )
    log = result.accounting.total
    console.print(
        f"Kafka: {log.read:,} records = {log.used:,} used + {log.duplicate:,} duplicate + {log.dead_letters:,} dead; "
        f"used = {log.on_time:,} on time + {log.late:,} late + {log.very_late:,} very late"
    )
    for said in result.said:
        console.print(
            f"{said.rule}: {said.agreed:,} said and true, {said.not_true:,} said and not true, "
            f"{said.late:,} true and not said since one before them came late, {said.forgotten:,} since they came late "
            f"themselves, their state gone; {said.alerted:,} alerts, {said.alerts_differ:,} unlike the decisions"
            + (f"; {said.anew:,} not compared, as they count a transaction that was judged anew" if said.anew else ""),
            style=None if said.right else "red",
        )
    for unproved in result.unproved:
        console.print(f"Unproved: {unproved}; lakehouse audit tells more", style="red")
    console.print(f"Compared in {result.seconds:.1f} s; appended to ops.comparisons as {result.run_id}")


def _verdict(each: TableComparison) -> Text:
    if each.equal:
        return styled(("equal", "green"))
    differs = each.missing or each.unexpected or each.different
    return styled(("differs" if differs else "no rows: nothing was compared", "red"))
