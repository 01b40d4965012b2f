"""``lakehouse up | down | status | logs``: the local stack."""

import time
from collections import deque
from typing import Annotated, Final

import typer
from rich.table import Table

from cli.output import console, print_table, styled, working
from infra.local.service import StackError
from infra.local.stack import LocalStack
from lakehouse.settings import load_settings

app = typer.Typer(no_args_is_help=True)
_COLOURS: Final = {"ready": "green", "running": "green", "not ready": "yellow", "stopped": "dim"}


@app.command(epilog="Examples: lakehouse up | lakehouse up core | lakehouse up kafka minio")
def up(
    services: Annotated[
        list[str] | None, typer.Argument(help="Services or profiles (core, streaming, airflow); all without one.")
    ] = None,
) -> None:
    """Start services and what they depend on, each when those are ready. What runs is left alone."""
    begun = time.monotonic()
    with working("starting") as say:
        waiting: dict[str, float] = {}
        ready: set[str] = set()

        def report(name: str, event: str) -> None:
            if event == "ready":
                ready.add(name)
                seconds = time.monotonic() - waiting.pop(name, time.monotonic())
                took = f" in {seconds:.1f} s" if seconds > 0.05 else ""
                console.print(styled(("✓", "green"), f" {name} ready{took}"))
            else:
                waiting.setdefault(name, time.monotonic())
            say(f"starting {', '.join(sorted(waiting))}" if waiting else "starting")

        stack = LocalStack(load_settings())
        stack.up(services or (), report)
    settings = stack.settings
    console.print(f"Up after {time.monotonic() - begun:.1f} s. Next: lakehouse status, lakehouse down")
    pages = {
        "airflow-api-server": ("Airflow", settings.airflow_port),
        "flink-jobmanager": ("Flink", settings.flink_port),
        "minio": ("MinIO", settings.minio_console_port),
    }
    for service, (title, port) in pages.items():
        if service in ready:
            console.print(f"{title}: http://{settings.host}:{port}")
    console.print(f"Names and passwords: {settings.credentials_file}")


@app.command(epilog="Example: lakehouse down")
def down() -> None:
    """Stop everything in order; no process is left, even if the supervisor was killed."""

    def report(name: str, event: str) -> None:
        if event == "stopped":
            console.print(f"✓ {name} stopped", style="dim")

    with working("stopping"):
        LocalStack(load_settings()).down(report)
    console.print("Down. Data are kept; start again with: lakehouse up")


@app.command(epilog="Example: lakehouse status")
def status() -> None:
    """Show every service and job process; exit status 3 if a service does not answer."""
    rows = LocalStack(load_settings()).status()
    table = Table("service", "state", "pid", "since", "ports", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row.name,
            styled((row.state, _COLOURS.get(row.state, "red"))),
            str(row.pid or ""),
            _duration(row.seconds) if row.pid else "",
            ", ".join(str(port) for port in row.ports.values()),
        )
    print_table(table)
    silent = [row.name for row in rows if row.state != "ready" and not row.name.startswith("job-")]
    if silent:
        console.print(f"Not ready: {', '.join(silent)}. Start with: lakehouse up {' '.join(silent)}")
        raise typer.Exit(3)


@app.command(epilog="Examples: lakehouse logs kafka | lakehouse logs job-notifier -n 20 -f")
def logs(
    name: Annotated[str, typer.Argument(help="A service or job process, as `lakehouse status` names it.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written.")] = False,
) -> None:
    """Show the last lines of a log."""
    stack = LocalStack(load_settings())
    file = stack.log_file(name)
    if not file.is_file():
        written = sorted(path.stem for path in file.parent.glob("*.log"))
        raise StackError(f"There is no log of {name!r}; there are: {', '.join(written) or 'none'}.")
    with file.open(encoding="utf-8", errors="replace") as text:
        for line in deque(text, maxlen=lines):
            typer.echo(line, nl=False)
        while follow:
            # Nothing tells when a file grows that is both portable and simple: look twice a second.
            typer.echo(text.read(), nl=False)
            time.sleep(0.5)


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
