"""``lakehouse core``: what makes bronze, silver and gold."""

import getpass
import os
import subprocess
import sys
from typing import Final

import psutil
import typer

from cli.output import console, errors, working
from infra.local.service import StackError
from infra.local.stack import LocalStack
from lakehouse.contracts.core import CORE, SPARK_STREAM, Core, record_core
from lakehouse.contracts.graph import STREAM
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST, SPARK_INGEST, SPARK_STATE
from lakehouse.runtime import reconcile
from lakehouse.settings import ROOT, load_settings

app = typer.Typer(help="What makes bronze, silver and gold: the Spark driver, or the follower.", no_args_is_help=True)
_SAID: Final = {
    Core.SPARK: "the Spark driver makes silver and gold, and bronze but for transactions",
    Core.FOLLOWER: "Flink's ingest makes bronze, and the follower silver and gold",
}


@app.command(epilog="Example: lakehouse core show")
def show() -> None:
    """Which core this installation has."""
    console.print(f"{CORE}: {_SAID[CORE]} (`lakehouse job status {STREAM}` shows whether it runs)")


@app.command("change-over", epilog="Example: lakehouse core change-over")
def change_over() -> None:
    """Go over from the Spark driver to Flink's ingest and the follower; there is no way back but a new installation.

    The driver ends between two batches, and ingest begins where it ended. Silver and gold are derived anew from bronze,
    most of it while the driver still runs, and each table is put in place in one commit: who reads sees the old rows or
    the new. Then Airflow's services start again, and the new jobs. What can't be carried over is refused by name, and
    nothing has changed then. Killed, it goes on when it is called again.
    """
    # What the two cores call tables and jobs can't be loaded into one process.
    if CORE is Core.SPARK:
        _carry_over()
    else:
        _begin()


def _carry_over() -> None:
    from jobs.change_over.run import carry_over

    settings = load_settings()
    stack = LocalStack(settings)
    if "LAKEHOUSE_CORE" in psutil.Process(stack.supervisor.supervisor_pid()).environ():
        raise StackError(
            "The stack was started with LAKEHOUSE_CORE in its environment, which all that it starts would get: "
            "`lakehouse down`, `lakehouse up` without it, and try again."
        )
    with working("looking at what is under way", errors) as say:
        carry_over(settings, getpass.getuser(), say)
        say("ending Airflow's services")
        ran = stack.end("airflow")
        record_core(settings.home, Core.FOLLOWER)
    console.print("Silver and gold are derived anew, and in place")
    command, environment = [sys.executable, "-m", "cli"], os.environ | {"PYTHONPATH": str(ROOT)}
    for words in (["up", *ran], ["core", "change-over"]):
        done = subprocess.run([*command, *words], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            raise typer.Exit(done.returncode)


def _begin() -> None:
    """What is left to do by processes of the new core."""
    from jobs.change_over.wanted import stopped_for_it, tidy

    settings, by = load_settings(), getpass.getuser()
    if stopped_for_it(settings, SPARK_INGEST):
        with working("starting", errors) as say:
            for name in (INGEST, FOLLOWER, *([SPARK_STATE] if SPARK_STREAM else [])):
                say(f"starting {name}")
                reconcile.start(settings, JOBS[name], by)
    removed = tidy(settings)
    console.print(
        f"{CORE}: {_SAID[CORE]}" + (f"; {removed:,} files removed that were needed on the way" if removed else "")
    )
    console.print("See that all is equal: lakehouse compare")
