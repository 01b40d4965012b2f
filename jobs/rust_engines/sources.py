"""The tables that a mart is computed from, each pinned to one version for both engines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from lakehouse.checked_sums import written_out
from lakehouse.delta.read import scan_opened
from lakehouse.delta.tables import open_table
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Pinned:
    """Versions by table, as somebody looked them up; `as_of`: the time (with a zone) whose versions they are, if
    somebody asked for one."""

    versions: Mapping[str, int]
    as_of: datetime | None = None

    def version(self, name: str) -> int:
        """Raises ValueError for a table that is not among them: its newest version is nobody's choice."""
        if name not in self.versions:
            raise ValueError(f"no version of {name} was pinned, only of {', '.join(self.versions) or 'nothing'}")
        return self.versions[name]


@dataclass(frozen=True, slots=True)
class Sources:
    """Open tables by name; whatever is committed later is not seen."""

    settings: Settings
    tables: dict[str, DeltaTable]

    @classmethod
    def pin(cls, settings: Settings, names: Iterable[str], as_of: datetime | Pinned | None = None) -> Self:
        """The newest version of each table, the one that was newest at `as_of`, or the one that `as_of` names.

        Raises what `lakehouse.delta.open_table` and `Pinned.version` raise.
        """
        if isinstance(as_of, Pinned):
            return cls(settings, {name: open_table(settings, name, as_of.version(name)) for name in names})
        return cls(settings, {name: open_table(settings, name, timestamp=as_of) for name in names})

    @property
    def versions(self) -> dict[str, int]:
        return {name: int(opened.version()) for name, opened in self.tables.items()}

    @property
    def ids(self) -> dict[str, str]:
        """Delta's ids of the tables: the versions of one that is made anew begin again."""
        return {name: str(opened.metadata().id) for name, opened in self.tables.items()}

    def scan(self, name: str, day: date | None = None, last: date | None = None) -> pl.LazyFrame:
        """A table for Polars; of a partitioned one, only `day` is read, or the days up to `last`."""
        return scan_opened(self.settings, name, self.tables[name], (day, last or day) if day else None)

    def query(self, sql: str) -> pa.Table:
        """Runs `sql` by DataFusion, with the layers' dots as underscores (``gold_product_metrics_5m``) and
        ``checked_sum(column)`` written out.

        It is delta-rs's own DataFusion, as that one prunes files by the Delta log; the `datafusion` package
        cannot reach the object store of a delta-rs table *(tried: 55.0 with deltalake 1.6)*.
        """
        engine = QueryBuilder()
        for name, opened in self.tables.items():
            engine = engine.register(name.replace(".", "_"), opened)
        return pa.table(engine.execute(written_out(sql)).read_all())
