"""``lakehouse job``: what runs, what should, and changing it."""

import getpass
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.output import console, print_table, styled
from cli.times import parse_time
from jobs.held import held_by
from jobs.streaming.region_revenue import main as region_revenue
from jobs.streaming.region_revenue.seek import seek as seek_back
from lakehouse.contracts.jobs import JOBS, JobSpec
from lakehouse.drained.positions import LIVE_DASHBOARD
from lakehouse.losses import in_words
from lakehouse.runtime import reconcile
from lakehouse.runtime import upgrade as upgrading
from lakehouse.runtime.accept import accept_losses
from lakehouse.runtime.reconcile import JobView
from lakehouse.runtime.sources import losses_of
from lakehouse.settings import load_settings

app = typer.Typer(help="The long-running jobs: list, start, stop, upgrade, seek.", no_args_is_help=True)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Name = Annotated[str, typer.Argument(help="A job of `lakehouse job list`.", autocompletion=lambda: list(JOBS))]
Output = Annotated[Format, typer.Option("--format", help="How to print it.")]


@app.command("list", epilog="Example: lakehouse job list --format json")
def list_jobs(output: Output = Format.TABLE) -> None:
    """Every job with its wanted and its actual state."""
    _show([_view(job) for job in JOBS.values()], output)


@app.command(epilog="Example: lakehouse job status live_dashboard")
def status(name: Name, output: Output = Format.TABLE) -> None:
    """One job. Exit status 1 unless it is as wanted."""
    seen = _view(_job(name))
    _show([seen], output)
    raise typer.Exit(0 if seen.healthy else 1)


@app.command(epilog="Examples: lakehouse job start ingest | lakehouse job start live_dashboard --new-state")
def start(
    name: Name,
    new_state: Annotated[
        bool,
        typer.Option(
            "--new-state",
            help="live_dashboard: stop it, forget its state, and let it count anew all that Kafka still has.",
        ),
    ] = False,
) -> None:
    """Want a job running and start it: a Flink job from its newest checkpoint."""
    job = _job(name)
    if new_state:
        if job.name != LIVE_DASHBOARD:
            raise typer.BadParameter(f"what {name} has written is not replaced by what it would write again")
        typer.echo(f"{job.name}: now {reconcile.begin_anew(load_settings(), job, getpass.getuser())}, from new state")
        return
    action = reconcile.start(load_settings(), job, getpass.getuser())
    typer.echo(f"{job.name}: {action.step} ({action.reason})")


@app.command(epilog="Example: lakehouse job stop live_dashboard --savepoint")
def stop(
    name: Name,
    savepoint: Annotated[bool, typer.Option("--savepoint", help="Flink: take a savepoint first.")] = False,
) -> None:
    """Want a job stopped and stop it so that it can go on later; nothing starts it again but `job start`."""
    job = _job(name)
    path = reconcile.stop(load_settings(), job, getpass.getuser(), savepoint=savepoint)
    typer.echo(f"{job.name}: stopped" + (f", savepoint {path}" if path else ""))


@app.command(epilog="Examples: lakehouse job upgrade ingest | lakehouse job upgrade user_totals__spark_state")
def upgrade(
    name: Name,
    new_checkpoint: Annotated[
        bool,
        typer.Option("--new-checkpoint", help="Spark: go on at the same offsets with a checkpoint of its own."),
    ] = False,
) -> None:
    """Replace a running job by the version on disk: Flink by savepoint, Spark between two batches."""
    typer.echo(upgrading.upgrade(load_settings(), _job(name), getpass.getuser(), new_checkpoint=new_checkpoint))


@app.command(epilog=f"Example: lakehouse job seek {region_revenue.JOB} --to 2026-03-01T14:00Z")
def seek(
    name: Name,
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="When records arrived; ISO 8601, UTC.")],
) -> None:
    """Let a plain consumer read again what arrived from a time on; what it makes of it replaces its results.

    Whether it runs or not; other jobs' tables are recomputed by `lakehouse replay`.
    """
    if _job(name).name != region_revenue.JOB:
        raise typer.BadParameter(
            f"{name} keeps its offsets with its state, not with its results: recompute its tables by `lakehouse replay`"
        )
    time = parse_time("--to", to)
    if time > datetime.now(UTC):
        raise typer.BadParameter(f"--to {to} lies in the future")
    sought = seek_back(load_settings(), time, getpass.getuser())
    for each in sought:
        gone = " (Kafka holds nothing older)" if each.offset == each.kafka_begins > 0 else ""
        typer.echo(
            f"{region_revenue.TOPIC}[{each.partition}]: from offset {each.offset:,} on{gone}, {each.again:,} again"
        )


@app.command(
    "accept-loss",
    epilog="Examples: lakehouse job accept-loss ingest | lakehouse job accept-loss fraud_online --yes",
)
def accept_loss(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Let a job go on without records that it had not read and that Kafka no longer has, and write that down.

    For a job that says that it can't go on: retention has removed what comes next, or a topic was deleted and made
    anew. `lakehouse audit` says from then on how many records are known to be lost.
    """
    settings, job = load_settings(), _job(name)
    held = held_by(settings, name)
    losses = losses_of(settings, job, held)
    if not losses:
        typer.echo(f"{name} has lost nothing: Kafka has all that it is to read next.")
        return
    typer.echo(f"{name} had not read all that Kafka has lost: {in_words(losses)}.")
    if not yes:
        typer.confirm("These records can't be brought back. Go on without them?", abort=True)
    accepted = accept_losses(settings, job, getpass.getuser(), held)
    typer.echo(f"Written to ops.ledger: {in_words(accepted)}. {name} goes on with what Kafka has.")


def _job(name: str) -> JobSpec:
    if name not in JOBS:
        raise typer.BadParameter(f"no job {name!r}; there are {', '.join(JOBS)}", param_hint="NAME")
    return JOBS[name]


def _view(job: JobSpec) -> JobView:
    return reconcile.view(load_settings(), job)


def _show(views: list[JobView], output: Format) -> None:
    if output is Format.JSON:
        typer.echo(json.dumps([_as_json(v) for v in views], indent=2))
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in ("job", "engine", "wanted", "actual", "since (UTC)", "generation", "handle"):
        table.add_column(heading, no_wrap=True)
    for v in views:
        since = datetime.fromtimestamp((v.actual.since_ms or 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            v.spec.name,
            v.spec.engine,
            v.wanted.wanted,
            styled((v.actual.state, "green" if v.healthy else "red")),
            since if v.actual.since_ms else "-",
            str(v.wanted.generation),
            v.actual.handle or "-",
        )
    print_table(table)
    for v in views:
        if v.actual.detail:
            style = "yellow" if v.healthy else "red"
            console.print(f"{v.spec.name}: {v.actual.detail}", style=style)
        if v.actual.code:
            said = f"starts from code {v.actual.code}, not from what is installed: `lakehouse job upgrade` changes that"
            console.print(f"{v.spec.name}: {said}", style="yellow")


def _as_json(seen: JobView) -> dict[str, object]:
    return {
        "job": seen.spec.name,
        "engine": seen.spec.engine,
        "wanted": seen.wanted.wanted,
        "changed_at": seen.wanted.changed_at.isoformat() if seen.wanted.changed_at else None,
        "changed_by": seen.wanted.changed_by or None,
        "generation": seen.wanted.generation,
        "actual": seen.actual.state,
        "handle": seen.actual.handle,
        "since_ms": seen.actual.since_ms,
        "detail": seen.actual.detail,
        "checkpoint": seen.actual.checkpoint,
        "checkpoint_ms": seen.actual.checkpoint_ms,
        "restored": seen.actual.restored,
        "restarts": seen.actual.restarts,
        "code": seen.actual.code,
        "healthy": seen.healthy,
    }
