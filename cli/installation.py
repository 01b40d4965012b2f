"""``lakehouse installation``: whose the tables of the bucket are."""

from typing import Annotated, Final

import typer
from rich.console import Console

from lakehouse.delta.installations import owner_of, take_over
from lakehouse.settings import load_settings

app = typer.Typer(help="Whose the tables of the bucket and namespace are.", no_args_is_help=True)
_console: Final = Console(highlight=False)


@app.command(epilog="Example: lakehouse installation show")
def show() -> None:
    """This installation, and the one that owns the tables."""
    settings = load_settings()
    owner = owner_of(settings)
    _say(f"this is installation {settings.installation or 'without a name: lakehouse up gives it one'}")
    if owner is None:
        _say("the tables belong to nobody yet: who writes first owns them")
    else:
        _say(f"the tables belong to {'this one' if owner.installation == settings.installation else owner}")
        for before in reversed(owner.before):
            _say(f"  before that, to installation {before}")


@app.command("take-over", epilog="Examples: lakehouse installation take-over | lakehouse installation take-over --yes")
def take_over_tables(yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Make this installation the owner of the tables: its home is a new one, or the one that owned them is gone.

    The other must be stopped; processes of it that still run notice within a minute. The checkpoints lie in the bucket
    too, and name offsets of the other's Kafka.
    """
    settings = load_settings()
    if not settings.installation:
        raise typer.BadParameter("this installation has no name yet: lakehouse up gives it one")
    owner = owner_of(settings)
    if owner is not None and owner.installation != settings.installation and not yes:
        _say(f"the tables belong to {owner}")
        typer.confirm("Is it stopped for good, and are its Kafka's records this one's?", abort=True)
    _say(f"the tables belong to {take_over(settings)}")


def _say(text: str) -> None:
    _console.print(text, markup=False, soft_wrap=True)
