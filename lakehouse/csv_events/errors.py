"""What is said of a mapping, and of a file, that make no events."""

from pathlib import Path

from lakehouse.input_files import spoken


class MappingError(ValueError):
    """The mapping doesn't make a complete event of its topic."""


class CsvError(ValueError):
    """The file doesn't say what the mapping asks for; the message names file, line and column."""

    def __init__(self, path: Path, line: int, problem: str, column: str | None = None) -> None:
        where = f"{spoken(path)}, line {line}" + (f", column {column!r}" if column else "")
        super().__init__(f"{where}: {problem}")
