"""``lakehouse catalog``: products and profiles in PostgreSQL and on their way to Kafka."""

from datetime import datetime
from typing import Annotated

import typer

from cli.output import console, styled, working
from lakehouse import catalog
from lakehouse.kafka.topics import create_topics
from lakehouse.settings import load_settings

app = typer.Typer(no_args_is_help=True)


@app.command(epilog="Example: lakehouse catalog seed --day 2026-03-02 --seed 1")
def seed(
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="UTC day within which some change.")] = datetime(
        2026, 3, 2
    ),
    seed: Annotated[int, typer.Option(min=0, help="The one that `produce` gets.")] = 1,
    learnt_late: Annotated[bool, typer.Option("--learnt-late", help="Record what was left out before.")] = False,
) -> None:
    """Record the generated products and profiles, with history; repeating adds nothing."""
    added = catalog.seed_catalogue(load_settings(), seed, day.date(), learnt_late=learnt_late)
    console.print(f"{added.products:,} product and {added.profiles:,} profile versions recorded")
    console.print("Next: lakehouse catalog refresh")


@app.command(epilog="Example: lakehouse catalog refresh")
def refresh() -> None:
    """Publish to Kafka every version that isn't known to have arrived; hourly, a DAG does the same.

    A version that is no valid event is set aside by name, and the rest is published; the exit status is 1 then.
    """
    settings = load_settings()
    create_topics(settings)
    with working("publishing"):
        result = catalog.refresh(settings)
    console.print(f"{result.products:,} product and {result.profiles:,} profile versions published")
    if result.repeated:
        console.print(f"{result.repeated:,} of them may have been sent before; they count as duplicates then")
    show_set_aside(result)
    if result.set_aside:
        raise typer.Exit(1)


def show_set_aside(result: catalog.RefreshResult) -> None:
    """Name the versions that are no valid events, and say how they are corrected."""
    if not result.set_aside:
        return
    console.print(styled(("✗", "red"), f" {result.set_aside:,} versions set aside, since they are no valid events:"))
    for version in result.named:
        console.print(f"  {version}")
    if result.set_aside > len(result.named):
        console.print("  ...")
    console.print(catalog.REMEDY)
