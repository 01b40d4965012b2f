"""``lakehouse age``: an installation of its own is aged on purpose, and asked what it was asked on its first day."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.output import console, print_table, working
from experiments.ageing import report
from experiments.ageing.run import SERVICES, Ageing
from experiments.faults.own_stack import keep_logs, own_stack
from infra.local.machine import describe

app = typer.Typer()


@app.command(epilog="Examples: lakehouse age --cycles 40 --days 60 | lakehouse age --results age.json --page age.html")
def age(
    cycles: Annotated[int, typer.Option(min=2, help="Of the follower: after each a cut is waited for.")] = 300,
    days: Annotated[int, typer.Option(min=2, help="That go by meanwhile, with few events each.")] = 400,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the events.")] = None,
    results: Annotated[Path | None, typer.Option(help="Keep all that was measured here.", dir_okay=False)] = None,
    page: Annotated[Path | None, typer.Option(help="Draw it here, as a page.", dir_okay=False)] = None,
) -> None:
    """Age an installation: Kafka forgets, tables are maintained, jobs are replaced and killed. Exit status 1 unless all
    is answered at the end as at first. It takes 4 GB of memory and a stack of its own, and some 10 s a cycle."""
    drawn = seed if seed is not None else int(time.time())
    console.print(f"seed {drawn}")
    machine = describe()
    with own_stack(proxied=False, name="ageing") as stack:
        try:
            with working("ageing") as say:
                stack.up(SERVICES, lambda name, _: say(name))
                found = Ageing(stack.settings, cycles, days, drawn, progress=say).run()
        except Exception:
            console.print(f"logs: {keep_logs(stack, f'ageing-{drawn}')}")
            raise
        if not all(answer["right"] for answer in found["last_day"]):
            console.print(f"logs: {keep_logs(stack, f'ageing-{drawn}')}")
    measured = {"machine": machine, "seed": drawn} | found
    if results:
        results.write_text(json.dumps(measured, indent=2) + "\n")
    if page:
        page.write_text(report.render(measured), encoding="utf-8")
    _show(found)
    if not all(answer["right"] for answer in (*found["first_day"], *found["last_day"])):
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    looked = [cycle for cycle in found["cycles"] if cycle["size"]]
    grown = Table("", *(f"cycle {cycle['number'] + 1}" for cycle in _some(looked)), box=None)
    grown.add_row("seconds until a cut has all", *(str(cycle["seconds"]) for cycle in _some(looked)))
    for name in looked[0]["size"] if looked else ():
        grown.add_row(name.replace("_", " "), *(str(cycle["size"][name]) for cycle in _some(looked)))
    print_table(grown)
    asked = Table("", "on the first day", "on the last day", box=None)
    for young, old in zip(found["first_day"], found["last_day"], strict=True):
        asked.add_row(young["question"], *(f"{_word(each)} in {each['seconds']} s" for each in (young, old)))
    print_table(asked)


def _some(cycles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, the last, and at most three between."""
    return cycles[:: max(1, len(cycles) // 4)][:4] + cycles[-1:] if len(cycles) > 5 else cycles


def _word(answer: dict[str, Any]) -> str:
    return "yes" if answer["right"] else "NO"
