"""``lakehouse quality``: check the tables' expectations."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from cli.output import console, print_table, styled, working
from lakehouse.contracts.tables import TABLES, checked_tables
from lakehouse.delta import table_exists
from lakehouse.settings import load_settings
from quality import TableQuality, run_quality
from quality.result import as_line

app = typer.Typer()


@app.command(
    epilog="Examples: lakehouse quality | lakehouse quality silver.clicks gold.product_metrics_5m --day 2024-03-01"
)
def quality(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="layer.table; every table that has a suite and was written, without one.",
            autocompletion=lambda: list(TABLES),
        ),
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only this UTC day, of tables that are partitioned by event date."),
    ] = None,
) -> None:
    """Check tables against their suites and renew the Data Docs; exit status 1 if a table is not as expected."""
    settings = load_settings()
    chosen = tables or [name for name in checked_tables() if table_exists(settings, name)]
    only = day.replace(tzinfo=UTC).date() if day else None
    with working(f"checking {len(chosen)} tables"):
        result = run_quality(settings, chosen, only, raise_on_failure=False)
    shown = Table("table", "version", "rows", "rows/s", "expectations", "result", box=None, pad_edge=False)
    for column in shown.columns[1:5]:
        column.justify = "right"
    for checked in result.tables:
        shown.add_row(
            checked.table,
            str(checked.version),
            f"{checked.rows_checked:,}",
            f"{checked.rows_per_second:,.0f}",
            str(len(checked.outcomes)),
            styled(("✓ passed", "green") if checked.success else (f"✗ {len(checked.failures)} failed", "red")),
        )
    print_table(shown)
    for checked in result.tables:
        _explain(checked)
    if any(checked.failing for checked in result.tables):
        where = f"""--where "run_id = '{result.run_id}'\""""
        console.print(f"rows set aside: lakehouse table read quarantine.rows {where}")
    console.print(f"Data Docs: {settings.home / 'reports' / 'data_docs' / 'index.html'}")
    raise typer.Exit(0 if result.success else 1)


def _explain(checked: TableQuality) -> None:
    for colour, word, outcomes in (("red", "fails", checked.failures), ("yellow", "warns", checked.warnings)):
        for outcome in outcomes:
            said = f" {checked.table}: {outcome.says}; broken by {outcome.observed:,} rows"
            console.print(styled((word, colour), said))
            for example in checked.samples.get(outcome.says, [])[:1]:
                console.print(f"  for example {as_line(example)}")
