"""Anybody's CSV file as events of a topic."""

from lakehouse.csv_events.errors import CsvError, MappingError
from lakehouse.csv_events.mapping import Ambiguous, CsvMapping, DecimalMark, Nonexistent, Quoting
from lakehouse.csv_events.rows import CsvRecord, read_csv

__all__ = [
    "Ambiguous",
    "CsvError",
    "CsvMapping",
    "CsvRecord",
    "DecimalMark",
    "MappingError",
    "Nonexistent",
    "Quoting",
    "read_csv",
]
