"""Where a replay's recomputed rows lie until they are swapped in."""

from dataclasses import dataclass
from datetime import date

import polars as pl
from deltalake import DeltaTable, write_deltalake

from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import scan_opened
from lakehouse.delta.installations import require_own
from lakehouse.delta.tables import PROPERTIES
from lakehouse.delta.write import to_arrow
from lakehouse.object_store import remove_all
from lakehouse.settings import Settings


def prefix(number: int) -> str:
    """Of the names of a replay's staging tables: ``replay_7__`` makes ``staging/replay_7__gold__user_totals``."""
    return f"replay_{number}__"


def open_staged(settings: Settings, path: str, version: int | None = None) -> DeltaTable:
    """A staging table as a step noted it, by Spark's name for its place or by ours."""
    return DeltaTable(path.replace("s3a://", "s3://", 1), version, settings.delta_storage_options())


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging tables of replay `number`, for engines that write by delta-rs; Spark writes its own."""

    settings: Settings
    number: int

    def path(self, name: str, scheme: str = "s3") -> str:
        return self.settings.table_path(f"staging.{prefix(self.number)}{name.replace('.', '__')}", scheme)

    def create(self, name: str) -> None:
        """An empty one, by the contract of `name`. Raises ForeignTablesError."""
        require_own(self.settings)
        contract = table(name)
        DeltaTable.create(
            self.path(name),
            arrow_schema(contract),
            partition_by=list(contract.partition_by),
            configuration=PROPERTIES,
            storage_options=self.settings.delta_storage_options(),
        )

    def append(self, name: str, rows: pl.DataFrame) -> None:
        options = self.settings.delta_storage_options()
        write_deltalake(self.path(name), to_arrow(name, rows), mode="append", storage_options=options)

    def version(self, name: str) -> int:
        return int(open_staged(self.settings, self.path(name)).version())

    def scan(self, name: str, days: tuple[date, date] | None = None) -> pl.LazyFrame:
        """`days`: first and last, both included."""
        return scan_opened(self.settings, name, open_staged(self.settings, self.path(name)), days)


def delete_staged(settings: Settings, number: int) -> None:
    """Removes a replay's staging tables; without any, does nothing."""
    remove_all(settings, settings.table_path(f"staging.{prefix(number)}"))
