"""What commands print by: text is printed as it is, character for character, whatever rows and files hold.

Rich would take ``:100:`` for an emoji and ``[main]`` for a style, and wrap and cut what is piped at 80 columns. Here
only a `Text` has styles, and a line is as long as it is: a terminal wraps it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_CONTROLS: Final = {code: f"\\u{code:04x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\n")}


_NULL: Final = ("null", "dim")


class _AsItIs(Console):
    """Control characters are shown escaped: rich would drop some or make spaces of them, and a terminal would obey
    others."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(_CONTROLS), **options)


def _console(**options: Any) -> Console:
    return _AsItIs(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)


console: Final = _console()
errors: Final = _console(stderr=True)
"""For errors and progress: what a command prints may be piped."""


def styled(*parts: str | tuple[str, str]) -> Text:
    """One line of plain texts and of (text, style)."""
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((text.translate(_CONTROLS), style) for text, style in pairs))


def cell(value: Any) -> str | Text:
    """A value as a table shows it."""
    return styled(_NULL) if value is None else str(value)


@contextmanager
def working(text: str, on: Console = console) -> Iterator[Callable[[str | Text], None]]:
    """Shows what is being done, in a terminal; call what it gives with what is done next."""
    with on.status(styled(text)) as spinner:
        yield lambda doing: spinner.update(doing if isinstance(doing, Text) else styled(doing))


def print_table(table: Table) -> None:
    """Prints a table in full width; a terminal that is narrower wraps its lines."""
    _console(width=max(console.width, _width(table))).print(table)


def print_rows(columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    """Prints rows as a table where it fits the terminal, else each row as a block of lines."""
    table = Table(*(Column(name, no_wrap=True) for name in columns), box=None, pad_edge=False)
    for row in values:
        table.add_row(*map(cell, row))
    if _width(table) <= console.width:
        console.print(table)
        return
    for row in values:
        print_block(dict(zip(columns, row, strict=True)))
        console.print()


def print_block(values: Mapping[str, Any]) -> None:
    """Prints a row as lines, a column each."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        console.print(styled((f"{name:>{width}}", "dim"), "  ", _NULL if value is None else str(value)))


def _width(table: Table) -> int:
    return console.measure(table, options=console.options.update(max_width=10_000_000)).maximum
