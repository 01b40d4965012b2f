"""``lakehouse replay``: recompute what events touched, see what would change, swap it in, take it back."""

import getpass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

import typer
from rich.table import Table

from cli.output import console, print_table, styled, working
from cli.times import parse_time
from lakehouse.replay import report, store
from lakehouse.replay.request import TARGETS, TOPICS, USUAL, Clock, Engine, Request
from lakehouse.replay.staging import delete_staged
from lakehouse.replay.steps import STEPS, UNDO
from lakehouse.replay.store import State
from lakehouse.replay.words import describe
from lakehouse.settings import load_settings

app = typer.Typer(help="Recompute rows from their events; compare, swap in, undo.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="Of the replay, as `plan` and `list` show it.")]


@app.command(
    epilog="Examples: lakehouse replay plan --from 2026-03-01T14:00Z --to 2026-03-01T15:00Z | "
    "lakehouse replay plan --clock arrival --from 2026-03-01T14:00Z --to 2026-03-01T15:00Z --target gold.user_totals | "
    "lakehouse replay plan --engine datafusion --from 2026-03-01 --to 2026-03-02 --target marts.region_daily"
)
def plan(
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First time, included; ISO 8601, UTC.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Where it ends, not included.")],
    clock: Annotated[Clock, typer.Option(help="By when events happened, or by when they arrived.")] = Clock.EVENT,
    topic: Annotated[
        list[str] | None, typer.Option(help=f"Once per topic: {', '.join(TOPICS)}; all without one.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help=f"Once per table; all affected without one: {', '.join(TARGETS)}.")
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="Who recomputes: DataFusion all tables, Polars marts, Spark (with the Spark driver) all but marts."
        ),
    ] = USUAL,
) -> None:
    """Show what a replay would touch, and keep the plan; nothing is written to tables."""
    first, last = parse_time("--from", start), parse_time("--to", end)
    request = Request.checked(first, last, datetime.now(UTC), clock, topic or TOPICS, target or (), engine)
    replay = store.plan_replay(load_settings(), request, getpass.getuser())
    _tell(describe(replay))
    console.print(f"\nApprove and run it: lakehouse replay run {replay.id}")


@app.command(epilog="Example: lakehouse replay run 7")
def run(
    number: Number,
    until: Annotated[str, typer.Option(help="The last step to carry out: recompute, diff, swap or record.")] = "record",
) -> None:
    """Approve a plan and carry it out; a replay that was interrupted goes on where it was."""
    from jobs.batch.replay import carry_out

    names = [step.name for step in STEPS]
    if until not in names:
        raise typer.BadParameter(f"{until!r} is no step; there are {', '.join(names)}")
    settings = load_settings()
    if store.get(settings, number).state is State.PLANNED:
        store.approve(settings, number, getpass.getuser())
    for step in STEPS[: names.index(until) + 1]:
        with working(f"{step.name}: {step.does}"):
            carry_out(settings, step.name, number)
        console.print(f"{step.name} done")
    _show(number)


@app.command("list", epilog="Example: lakehouse replay list")
def list_replays() -> None:
    """Show the replays there are, newest first."""
    shown = Table(box=None, pad_edge=False)
    for name in ("replay", "state", "from", "to", "clock", "engine", "affected rows", "by"):
        shown.add_column(name)
    for replay in store.newest_first(load_settings()):
        request = replay.plan.request
        shown.add_row(
            str(replay.id), replay.state, f"{request.start:%Y-%m-%d %H:%M}", f"{request.end:%Y-%m-%d %H:%M}",
            request.clock, request.engine, f"{replay.plan.affected_rows:,}", replay.requested_by,
        )  # fmt: skip
    print_table(shown)


@app.command(epilog="Example: lakehouse replay status 7")
def status(number: Number) -> None:
    """Show how far a replay has come, its plan, and what it changes."""
    _tell(describe(store.get(load_settings(), number)))
    _show(number)


@app.command(epilog="Example: lakehouse replay cancel 7")
def cancel(number: Number) -> None:
    """End a replay before its rows are swapped in, or its undo before that is done; its work stops, and the tables stay
    as they are."""
    settings = load_settings()
    if store.cancel(settings, number).state is State.DONE:
        console.print(f"the undo of replay {number} is cancelled; its tables are as the replay made them")
        return
    delete_staged(settings, number)
    console.print(f"replay {number} is cancelled; its tables are as they were")


@app.command(epilog="Example: lakehouse replay undo 7")
def undo(number: Number) -> None:
    """Bring back the rows that a replay replaced; what has come since stays."""
    from jobs.batch.replay import carry_out

    with working("waiting for the owner of the tables"):
        carry_out(load_settings(), UNDO.name, number)
    console.print(f"replay {number} is undone")


def _tell(description: str) -> None:
    """A plan in words: Markdown, whose tables are shown as such, none of their names cut."""
    for is_table, lines in groupby(description.splitlines(), lambda line: line.startswith("|")):
        if not is_table:
            console.print("\n".join(lines).replace("**", ""))
            continue
        names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        shown = Table(*names, box=None, pad_edge=False)
        for row in rows:
            shown.add_row(*row)
        print_table(shown)


def _show(number: int) -> None:
    settings = load_settings()
    replay = store.get(settings, number)
    console.print(styled(f"replay {number} is ", (replay.state, "bold"), f": {replay.error}" if replay.error else ""))
    if replay.diff is None:
        return
    shown = Table(box=None, pad_edge=False)
    for name in ("table", "rows", "added", "removed", "changed", "columns"):
        shown.add_column(name)
    for found in replay.diff["tables"]:
        columns = ", ".join(f"{name} {count}" for name, count in found["columns"].items())
        shown.add_row(
            found["table"],
            f"{found['rows_before']:,}",
            *(str(found[n]) for n in ("added", "removed", "changed")),
            columns,
        )
    print_table(shown)
    console.print(f"report: {report.path(settings, number)}")
