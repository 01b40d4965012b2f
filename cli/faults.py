"""``lakehouse faults``: seeded schedules of faults against a live pipeline of their own, which must end exact."""

import json
import random
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.audit import show_audit
from cli.output import console, print_table, styled, working
from experiments.faults import outcome as outcomes
from experiments.faults.outcome import Outcome
from experiments.faults.own_stack import keep_logs, own_stack
from experiments.faults.run import Runner
from experiments.faults.schedule import CONNECTIONS, SECONDS, Kind, Schedule, one_by_one, plan
from lakehouse.contracts.core import CORE, Core

app = typer.Typer()


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command(
    epilog="Examples: lakehouse faults --seed 7 --minutes 1 | lakehouse faults --schedules 20 --results faults.jsonl | "
    "lakehouse faults --core follower --schedules 20 | lakehouse faults --seed 7 --list | "
    "lakehouse faults --summary faults.jsonl"
)
def faults(
    seed: Annotated[int | None, typer.Option(min=0, help="Of the first schedule; the next has the next.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of faults in each schedule.")] = SECONDS / 60,
    schedules: Annotated[int, typer.Option(min=0, help="How many, one after the other on one stack.")] = 1,
    kinds: Annotated[str, typer.Option(help="Of faults, with commas.")] = ",".join(Kind),
    alone: Annotated[
        bool, typer.Option("--each", help="Instead, one schedule per kind and target, each with that fault alone.")
    ] = False,
    airflow: Annotated[bool, typer.Option(help="Run Airflow too, and hit its scheduler.")] = False,
    core: Annotated[
        Core,
        typer.Option(
            help="Who makes silver and gold: the core of this installation, with all other jobs; or, beside the Spark "
            "driver's, Flink's ingest and the follower alone."
        ),
    ] = CORE,
    plans: Annotated[
        Path | None, typer.Option("--plan", help="Run the schedules of this file first.", exists=True, dir_okay=False)
    ] = None,
    ledger: Annotated[bool, typer.Option(help="Show what the audit added up after each schedule.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show the schedules and run nothing.")] = False,
    format: Annotated[Format, typer.Option(help="Of --list; what json prints is what --plan reads.")] = Format.TABLE,
    results: Annotated[
        Path | None, typer.Option(help="Append each outcome to this file, a line of JSON each.", dir_okay=False)
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Sum up a file of results and run nothing.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Break things while events flow, and see that nothing is lost, doubled or altered.

    Kills and freezes services and jobs of a stack of its own (nobody else's is touched), heals them, waits until
    everything is drained, and compares every table and live value with the reference. The same seed is the same
    schedule. Exit status 1 unless all end exact; the stack's logs are kept then.
    """
    if summary:
        _summarise(outcomes.recorded(summary))
        return
    if core is Core.SPARK and CORE is Core.FOLLOWER:
        raise typer.BadParameter("with LAKEHOUSE_CORE=follower there is no Spark driver", param_hint="--core")
    try:
        chosen = tuple(Kind(kind.strip()) for kind in kinds.split(",") if kind.strip())
        first = random.SystemRandom().randrange(2**31) if seed is None else seed
        wanted = _planned(plans) if plans else []
        if alone:
            wanted += one_by_one(first, chosen, airflow=airflow, core=core)
        else:
            wanted += [plan(first + n, minutes * 60, chosen, airflow=airflow, core=core) for n in range(schedules)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if listed:
        _list(wanted, format)
        return
    # Told to end (by `timeout`, by a CI), it still takes its stack down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console.print(f"{len(wanted)} schedules: " + " ".join(str(schedule.seed) for schedule in wanted))
    inexact = _run(wanted, airflow, results, ledger)
    if inexact:
        raise typer.Exit(1)


def _run(wanted: list[Schedule], airflow: bool, results: Path | None, ledger: bool) -> int:
    """Runs schedules; after one that did not end exact the next begin on a new stack. How many did not."""
    inexact, left = 0, list(wanted)
    proxied = any(fault.kind in CONNECTIONS for schedule in wanted for fault in schedule.faults)
    while left:
        with own_stack(proxied) as stack, working("starting") as say:
            runner = Runner(stack, airflow, say, left[0].core)
            runner.start()
            while left and left[0].core is runner.core:
                outcome = runner.run(left.pop(0))
                _show(outcome)
                if ledger and outcome.audit:
                    show_audit(outcome.audit)
                if results:
                    outcomes.record(outcome, results)
                if not outcome.exact:
                    inexact += 1
                    kept = keep_logs(stack, str(outcome.schedule.seed))
                    console.print(f"  logs: {kept}")
                    break
    return inexact


def _planned(file: Path) -> list[Schedule]:
    """The schedules of a file that `--list --format json` has made.

    Raises:
        ValueError: it is no such file.
    """
    try:
        return [Schedule.from_dict(each) for each in json.loads(file.read_text(encoding="utf-8"))]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} holds no schedules as `lakehouse faults --list --format json` prints them") from error


def _list(wanted: list[Schedule], format: Format) -> None:
    if format is Format.JSON:
        typer.echo(json.dumps([schedule.to_dict() for schedule in wanted], indent=1))
        return
    table = Table("seed", "day", "after", "fault", "of", "for", box=None, pad_edge=False)
    for schedule in wanted:
        for number, fault in enumerate(schedule.faults):
            begins = ("", "") if number else (str(schedule.seed), str(schedule.day))
            lasts = f"{fault.seconds:.1f} s" if fault.seconds else ""
            table.add_row(*begins, f"{fault.at:.1f} s", str(fault.kind), fault.target, lasts)
    print_table(table)


def _show(outcome: Outcome) -> None:
    happened = sum(each.injected for each in outcome.faults)
    console.print(
        styled(
            ("✓" if outcome.exact else "✗", "green" if outcome.exact else "red"),
            f" {outcome.schedule.seed}: {outcome.verdict}, {happened} faults, "
            f"{outcome.rows_compared:,} rows compared, {outcome.ledger or 'not audited'}, ",
            f"drained {outcome.drained_seconds:.0f} s after the last, " if outcome.drained_seconds is not None else "",
            f"{outcome.seconds:.0f} s in all",
        )
    )
    for each in outcome.faults:
        lasts = f" for {each.fault.seconds:.1f} s" if each.fault.seconds else ""
        came = f"back after {each.back_seconds} s" if each.back_seconds is not None else ""
        came = came if each.injected else "not injected"
        console.print(f"  {each.fault.at:5.1f} s {each.fault.kind} {each.fault.target}{lasts} {came}", style="dim")
    for line in outcome.detail:
        console.print(f"  {line}", style="red")


def _summarise(recorded: list[dict[str, object]]) -> None:
    total = outcomes.summarise(recorded)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in total.verdicts.items())
    console.print(
        f"{total.schedules} schedules ({verdicts or 'none'}), {total.records:,} events, "
        f"{total.rows_compared:,} rows compared with the reference"
    )
    for what, seconds in (("faults", total.drained_seconds), ("none", total.undisturbed_seconds)):
        if seconds:
            console.print(f"Drained after {what}: median {seconds[0]} s, longest {seconds[1]} s")
    table = Table("fault", "of", box=None, pad_edge=False)
    for name in ("injected", "back", "longest", "alone: drained", "longest"):
        table.add_column(name, justify="right")
    for each in total.kinds:
        spreads = (each.back_seconds, each.recovered_seconds)
        shown = [f"{seconds:.1f} s" if spread else "" for spread in spreads for seconds in spread or (0, 0)]
        table.add_row(each.kind, each.target, str(each.injected), *shown)
    print_table(table)
