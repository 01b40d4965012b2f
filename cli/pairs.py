"""Options that take pairs: ``FIELD=COLUMN,FIELD=COLUMN``, ``FIELD:VALUE=MEANING,VALUE=MEANING``."""

import shlex
from collections.abc import Iterable
from typing import Final

import typer

_QUOTED: Final = "; one with a comma goes in double quotes"


def pairs(option: str, given: Iterable[str], hint: str = "") -> dict[str, str]:
    """``NAME=...`` by name, one of each in `given`. Raises `typer.BadParameter` naming `option`."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option} {text!r} is not of the form FIELD=...{hint}")
        _add(option, found, name.strip(), value)
    return found


def listed_pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """As `pairs`, of texts that may hold several pairs with commas between; what is between double quotes is one.

    Raises `typer.BadParameter`.
    """
    return pairs(option, [part for text in given for part in _parts(option, text)], _QUOTED)


def meanings(option: str, given: Iterable[str]) -> dict[str, dict[str, str]]:
    """``FIELD:VALUE=MEANING,...`` as field -> value -> meaning. Raises `typer.BadParameter`."""
    found: dict[str, dict[str, str]] = {}
    for text in given:
        field, colon, rest = text.partition(":")
        parts = _parts(option, rest)
        if not (colon and parts and all("=" in part for part in parts)):
            raise typer.BadParameter(f"{option} {text!r} is not of the form FIELD:VALUE=MEANING,VALUE=MEANING{_QUOTED}")
        for part in parts:
            value, _, meaning = part.rpartition("=")  # the value is somebody else's, and may hold one
            _add(f"{option} {field}", found.setdefault(field.strip(), {}), value, meaning)
    return found


def whole_numbers(option: str, given: Iterable[str]) -> dict[str, int]:
    """``FIELD=NUMBER`` by field. Raises `typer.BadParameter`."""
    texts = pairs(option, given)
    try:
        return {name: int(text) for name, text in texts.items()}
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes whole numbers: {error}") from None


def _parts(option: str, text: str) -> list[str]:
    """Between commas, but for those between double quotes."""
    words = shlex.shlex(text, posix=True)
    words.whitespace, words.whitespace_split, words.quotes, words.escape, words.commenters = ",", True, '"', "", ""
    try:
        return list(words)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} has a double quote that nothing closes") from None


def _add(option: str, found: dict[str, str], name: str, value: str) -> None:
    if name in found:
        raise typer.BadParameter(f"{option} gives {name!r} twice: {found[name]!r} and {value!r}")
    found[name] = value
