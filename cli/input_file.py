"""A file to read, as a person names it."""

import os
from pathlib import Path

import typer

from lakehouse.input_files import STDIN


def input_file(text: str) -> Path:
    """The path `text`, which is ``-`` for standard input; raises `typer.BadParameter` where nothing can be read.

    Typer's own `allow_dash` doesn't know a `Path` of a dash.
    """
    path = Path(text)
    if path != STDIN:
        if path.is_dir():
            raise typer.BadParameter(f"{text} is a directory.")
        if not path.exists():
            raise typer.BadParameter(f"{text}: there is no such file.")
        if not os.access(path, os.R_OK):
            raise typer.BadParameter(f"{text} is not readable.")
    return path
