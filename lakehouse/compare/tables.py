"""Delta tables as frames of their contract's compared columns, read at one fixed version."""

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.read import scan_opened
from lakehouse.settings import Settings


class PinnedTable:
    """A table at a version, by default the newest when this was made. One that was never written has no rows.

    Raises:
        ServiceDownError: MinIO does not answer.
    """

    def __init__(self, settings: Settings, name: str, version: int | None = None) -> None:
        self._settings = settings
        self._contract = table(name)
        self._opened: DeltaTable | None
        try:
            self._opened = open_table(settings, name, version)
        except TableMissingError:
            self._opened = None

    @property
    def version(self) -> int | None:
        return int(self._opened.version()) if self._opened is not None else None

    def frame(self, where: pl.Expr | None = None) -> pl.DataFrame:
        """All rows, or those for which `where` holds."""
        columns = list(self._contract.compared_columns)
        if self._opened is None:
            schema = polars_schema(self._contract)
            return pl.DataFrame(schema={name: schema[name] for name in columns})
        rows = scan_opened(self._settings, self._contract.name, self._opened)
        if where is not None:
            rows = rows.filter(where)
        return rows.select(columns).collect()
