"""Each command says by an example how it is called."""

from collections.abc import Iterator

import pytest
from typer.main import get_command

from cli.app import COMMANDS, build


def epilogs(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """By what one types, what the help of each command ends with, of a group's commands each."""
    for name, each in getattr(command, "commands", {}).items():
        yield from epilogs(each, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(path), " ".join((getattr(command, "epilog", None) or "").split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_of_its_own(name: str) -> None:
    (command,) = (each for listed, each in get_command(build(name)).commands.items() if listed == name)  # type: ignore[attr-defined]
    for words, epilog in epilogs(command, (name,)):
        assert epilog.startswith("Example"), words
        assert f"lakehouse {words}" in epilog
