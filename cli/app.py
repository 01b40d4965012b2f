"""``lakehouse``: every command; only the module of the one that is called is imported, so that all are quick."""

import importlib
import sys
from typing import Final

import typer

from cli.output import errors
from lakehouse.errors import explained

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("cli.stack", "Start the services of the local stack."),
    "down": ("cli.stack", "Stop the local stack; no process is left."),
    "status": ("cli.stack", "Show how each service and job process is."),
    "logs": ("cli.stack", "Show the log of a service or job."),
    "produce": ("cli.produce", "Send events: generated ones or a CSV file."),
    "catalog": ("cli.catalog", "Record products and profiles, and publish their changes."),
    "validate": ("cli.validate", "Explain the verdict on each record of a file."),
    "dead-letters": ("cli.dead_letters", "Count records that are no valid events, and send them again."),
    "table": ("cli.table", "List, show and read the Delta tables."),
    "graph": ("cli.graph", "Show who reads what, and who writes it."),
    "job": ("cli.job", "List, start and stop the streaming jobs."),
    "lag": ("cli.lag", "Show how far each hop is behind Kafka."),
    "quality": ("cli.quality", "Check the tables' expectations and renew the Data Docs."),
    "mart": ("cli.mart", "Compute and publish the daily marts."),
    "compare": ("cli.compare", "Compare tables and Redis with the reference."),
    "audit": ("cli.audit", "Follow every Kafka record into the tables: lost, doubled, altered?"),
    "explain": ("cli.explain", "Show the Kafka records behind a row, and what last changed it."),
    "parity": ("cli.parity", "Recompute random gold rows by the reference."),
    "rejudge": ("cli.rejudge", "Judge records anew by today's rule of validity."),
    "replay": ("cli.replay", "Recompute what events touched; compare, swap in, undo."),
    "core": ("cli.core", "Show what makes silver and gold; change over to the follower."),
    "installation": ("cli.installation", "Show whose the tables of the bucket are; take them over."),
    "lambda": ("cli.architectures", "Run Lambda's layers beside Kappa, and compare the two."),
    "age": ("cli.age", "Age an installation of its own, and see that it answers as on its first day."),
    "faults": ("cli.faults", "Break things while events flow, and see that nothing is lost."),
    "demo": ("cli.demo", "Run the whole lakehouse on real and generated events."),
}
"""Name -> module and summary. The module's ``app`` (Typer) holds a command of this name, or is the group itself."""


def build(called: str | None) -> typer.Typer:
    """The application with the command `called` in full, and the others by name and summary."""
    app = typer.Typer(
        help="A Kappa lakehouse: shop events through Kafka into Delta tables, checked against a reference.",
        epilog="Example: lakehouse up, then lakehouse status. Each command has --help.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, (module, summary) in COMMANDS.items():
        if name != called:
            app.command(name, help=summary)(_only_listed)
            continue
        group: typer.Typer = importlib.import_module(module).app
        own = [c for c in group.registered_commands if c.callback and (c.name or c.callback.__name__) == name]
        if own:
            app.registered_commands.extend(own)
        else:
            app.add_typer(group, name=name, help=summary)
    return app


def main() -> None:
    """Run the command line; an error that a person can act on is one sentence and exit status 1."""
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        build(called)(prog_name="lakehouse")
    except Exception as error:
        message = explained(error)
        if message is None:
            raise
        errors.print(message, style="red")
        sys.exit(1)


def _only_listed() -> None:
    """Stands for a command that was not called."""
