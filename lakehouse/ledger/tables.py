"""The tables that an audit looks at, each at one fixed version, and as they must be where they were found wrong."""

from typing import Final

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, VersionMissingError, open_table, scan_opened
from lakehouse.delta.describe import versions_read
from lakehouse.ledger.findings import OFFSET_BITS
from lakehouse.settings import Settings

POSITION: Final = (pl.col("partition").cast(pl.Int64) * (1 << OFFSET_BITS) + pl.col("offset")).alias("position")


class Tables:
    """Tables at the version that was newest when each was first asked for; one that was never written has no rows.

    Every method raises `ServiceDownError` when MinIO does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[str, DeltaTable | None] = {}
        self._mended: dict[str, pl.LazyFrame] = {}

    def pin(self, name: str) -> DeltaTable | None:
        if name not in self._opened:
            try:
                self._opened[name] = open_table(self._settings, name)
            except TableMissingError:
                self._opened[name] = None
        return self._opened[name]

    def version(self, name: str) -> int | None:
        opened = self.pin(name)
        return None if opened is None else int(opened.version())

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Its rows at the pinned version, or at an earlier one.

        Raises `VersionMissingError` if that one is no longer kept.
        """
        opened = self.pin(name)
        if opened is None:
            return pl.LazyFrame(schema=polars_schema(table(name)))
        if version is not None and version < opened.version():
            return self._at(name, version)
        return scan_opened(self._settings, name, opened)

    def _at(self, name: str, version: int) -> pl.LazyFrame:
        rows = scan_opened(self._settings, name, open_table(self._settings, name, version))
        try:
            rows.head(1).collect()
        except OSError as error:  # its log is kept, its files are not
            raise VersionMissingError(name, version, self.version(name) or 0) from error
        return rows

    def mended(self, name: str) -> pl.LazyFrame | None:
        """Its rows as they must be, if it was found wrong."""
        return self._mended.get(name)

    def mend(self, name: str, positions: pl.Series, rows: pl.DataFrame) -> None:
        """Lets `rows` stand for those at `positions`, so that one difference is not told again further down."""
        kept = self.scan(name).filter(~POSITION.is_in(positions.implode()))
        self._mended[name] = pl.concat([kept, rows.lazy()], how="diagonal")

    def read(self, name: str) -> dict[str, int]:
        """The versions of its sources that it was last computed from, by what its commits say."""
        opened = self.pin(name)
        return {} if opened is None else versions_read(opened)
