"""``lakehouse parity``: random gold rows against the reference."""

import random
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.output import console
from lakehouse.explain.keys import as_pasted
from lakehouse.parity.results import objective
from lakehouse.parity.sample import case_path, check_sample
from lakehouse.settings import load_settings

app = typer.Typer()
ROWS = 35


@app.command(epilog="Examples: lakehouse parity | lakehouse parity --rows 200 --seed 7")
def parity(
    rows: Annotated[int, typer.Option(min=1, help="How many rows to look at, of all gold tables together.")] = ROWS,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the same rows again; random without one.")] = None,
) -> None:
    """Recompute random gold rows from bronze's raw records by the reference; exit status 1 if one differs."""
    settings = load_settings()
    drawn = seed if seed is not None else random.randrange(2**31)  # noqa: S311
    checked = check_sample(settings, rows, drawn)
    wrong = [found for found in checked if not found.equal]
    for found in wrong:
        columns = ", ".join(found.columns)
        console.print(f"{found.table} {as_pasted(found.key)} differs in {columns}", style="red")
        console.print(f"  its records: {case_path(settings, found)}")
        console.print(f"  its history: lakehouse explain {found.table} {as_pasted(found.key)}")
    events = sum(len(found.records) for found in checked)
    console.print(
        f"{len(checked):,} rows of {len({found.table for found in checked})} tables made again of {events:,} records, "
        f"{len(wrong)} differ (--seed {drawn}); {objective(settings, datetime.now(UTC))}",
    )
    raise typer.Exit(1 if wrong else 0)
