"""SQL of the common dialect over frames, by DataFusion on Arrow."""

from collections.abc import Mapping
from itertools import count
from typing import Final

import polars as pl
from datafusion import SessionConfig, SessionContext

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.semantics.dialects import for_datafusion
from lakehouse.semantics.metrics import placeholder, refresh_sql

PARTITIONS: Final = 2
"""What one query runs on: more than the cores that a machine has gains nothing."""


class Frames:
    """A session that runs queries over frames; not for several threads at once."""

    def __init__(self) -> None:
        config = SessionConfig({"datafusion.execution.time_zone": "UTC"}).with_target_partitions(PARTITIONS)
        self._context = SessionContext(config)
        self._numbers = count()

    def run(self, query: str, **frames: pl.DataFrame) -> pl.DataFrame:
        """`query` over `frames`, their names in braces. Types are DataFusion's: cast them to the contract's."""
        names = {name: f"frame_{next(self._numbers)}" for name in frames}
        for name, frame in frames.items():
            self._context.from_arrow(frame, name=names[name])
        try:
            found = self._context.sql(for_datafusion(query).format(**names))
            return pl.DataFrame(found.to_arrow_table())
        finally:
            for name in names.values():
                self._context.deregister_table(name)


def refreshed(frames: Frames, name: str, sources: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What the SQL of the table `name` makes of rows of its `sources`: all columns but `changed_by`, in its types."""
    rows = frames.run(refresh_sql(name), **{placeholder(source): held for source, held in sources.items()})
    types = polars_schema(table(name))
    return rows.select(pl.col(c).cast(types[c]) for c in table(name).compared_columns)
