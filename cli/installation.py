"""``lakehouse installation``: whose the tables of the bucket are."""

from typing import Annotated

import typer

from cli.output import console
from lakehouse.delta.installations import owner_of, take_over
from lakehouse.settings import load_settings

app = typer.Typer(help="Whose the tables of the bucket and namespace are.", no_args_is_help=True)


@app.command(epilog="Example: lakehouse installation show")
def show() -> None:
    """This installation, and the one that owns the tables."""
    settings = load_settings()
    owner = owner_of(settings)
    console.print(f"this is installation {settings.installation or 'without a name: lakehouse up gives it one'}")
    if owner is None:
        console.print("the tables belong to nobody yet: who writes first owns them")
    else:
        console.print(f"the tables belong to {'this one' if owner.installation == settings.installation else owner}")
        for before in reversed(owner.before):
            console.print(f"  before that, to installation {before}")


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
        console.print(f"the tables belong to {owner}")
        typer.confirm("Is it stopped for good, and are its Kafka's records this one's?", abort=True)
    console.print(f"the tables belong to {take_over(settings)}")
