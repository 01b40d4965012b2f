"""``lakehouse lambda``: Lambda's layers beside Kappa, and the two compared."""

import os
import random
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.output import console, print_rows
from lakehouse.contracts.tables import LAMBDA_METRICS
from lakehouse.settings import load_settings

app = typer.Typer(help="Run Lambda's layers beside Kappa, and compare the two.", no_args_is_help=True)

Metric = StrEnum("Metric", {metric: metric for metric in LAMBDA_METRICS})  # type: ignore[misc]


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command(epilog="Example: lakehouse job start lambda_speed; lakehouse lambda batch")
def batch() -> None:
    """Run the batch layer up to where bronze ends now, and hand over to the speed layer."""
    from jobs.batch.lambda_batch import run_batch

    hand_over = run_batch(load_settings())
    records = sum(end for partitions in hand_over.cut.values() for end in partitions.values())
    console.print(f"counted {records:,} records up to the cut; the speed layer goes on from there")


@app.command(
    epilog="Examples: lakehouse lambda read sessions | lakehouse lambda read region_revenue_daily --format csv"
)
def read(
    metric: Annotated[Metric, typer.Argument(help="Which serving view.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 20,
    format: Annotated[Format, typer.Option(help="How to print them.")] = Format.TABLE,
) -> None:
    """Read a serving view: both layers merged, in the order of its key."""
    from jobs.rust_engines.lambda_serving import serving
    from lakehouse.contracts.tables import table
    from lakehouse.lambda_layers import batch_table
    from lakehouse.plain import plain_frame, write_json_lines

    rows = serving(load_settings(), metric).sort(table(batch_table(metric)).key).head(limit)
    if format is Format.TABLE:
        print_rows(rows.columns, rows.rows())
    elif format is Format.JSON:
        write_json_lines(rows, sys.stdout.buffer)
    else:
        plain_frame(rows).write_csv(sys.stdout.buffer)


@app.command(epilog="Example: lakehouse lambda compare")
def compare() -> None:
    """Compare the serving views with Kappa's tables, row for row; exit status 1 unless all are equal.

    Nothing may be on its way: see lakehouse lag.
    """
    from experiments.architectures.equality import compare_served

    settings, equal = load_settings(), True
    for metric in LAMBDA_METRICS:
        served = compare_served(settings, metric)
        found = served.comparison
        equal &= found.equal
        console.print(
            f"{found.table}: {found.rows_compared:,} rows compared with {LAMBDA_METRICS[metric]}, {found.missing:,} "
            f"missing, {found.unexpected:,} unexpected, {found.different:,} different; of {served.batch_rows:,} rows "
            f"of the batch layer and {served.speed_rows:,} of the speed layer, {served.counted:,} records",
            style=None if found.equal else "red",
        )
        for example in found.examples:
            console.print(f"  {example}")
    raise typer.Exit(0 if equal else 1)


@app.command(epilog="Examples: lakehouse lambda beside | lakehouse lambda beside --share 0.5")
def beside(
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the log, what the batch layer counts.")] = 0.9,
) -> None:
    """Run both layers once over this installation's log, compare with Kappa's tables, and write a report.

    Nothing may be on its way, and the job lambda_speed must be stopped. Exit status 1 unless all tables are equal.
    """
    from experiments.architectures.beside import compared_with_kappa, report_folder, run_layers
    from experiments.architectures.report import write

    settings = load_settings()
    result = compared_with_kappa(settings, run_layers(settings, share, console.print))
    for found in result.equality:
        console.print(
            f"{found.table}: {found.rows:,} rows {'equal' if found.equal else 'NOT EQUAL'} to {found.against}"
        )
    console.print(f"Report: {write(result, report_folder(settings))}")
    raise typer.Exit(0 if result.ok else 1)


@app.command(
    epilog="Examples: lakehouse lambda measure | lakehouse lambda measure --seconds 60 --repeats 1 --history-days 5"
)
def measure(
    rate: Annotated[int, typer.Option(min=1, help="Events per second while they flow.")] = 300,
    seconds: Annotated[float, typer.Option(min=10, help="How long they flow.")] = 300,
    cadence: Annotated[float, typer.Option(min=10, help="Seconds from one batch run's begin to the next.")] = 120,
    history_days: Annotated[int, typer.Option(min=1, help="Days that the correction makes anew.")] = 30,
    history_clicks: Annotated[int, typer.Option(min=100, help="Clicks of each such day.")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="Of what is measured while events flow.")] = 3,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the events; random without one.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the report.", file_okay=False)] = None,
) -> None:
    """Measure Kappa and Lambda on a stack of their own, one after the other, and write the report.

    Nobody else's stack is touched. Takes some 45 minutes as it is; the report grows with each part. Exit status 1
    unless all tables are equal.
    """
    from experiments.architectures.beside import report_folder
    from experiments.architectures.report import write
    from experiments.architectures.run import EVERY_PROCESS, SERVICES, Comparing, Plan
    from experiments.faults.own_stack import own_stack

    drawn = random.SystemRandom().randrange(2**31) if seed is None else seed
    plan = Plan(drawn, rate, seconds, cadence, history_days, history_clicks, repeats)
    directory = output or report_folder(load_settings())
    # Told to end, it still takes its stack down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with own_stack(proxied=False, name="comparison") as stack:
        os.environ |= EVERY_PROCESS
        stack.up(SERVICES)
        result = Comparing(stack, plan, console.print, lambda found: write(found, directory)).run()
    verdict = "equal" if result.ok else "NOT EQUAL"
    console.print(f"{verdict} (--seed {drawn}): {directory / 'index.html'}")
    raise typer.Exit(0 if result.ok else 1)
