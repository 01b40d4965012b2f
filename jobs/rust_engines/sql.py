"""SQL of the common dialect over frames, by DataFusion on Arrow."""

from itertools import count
from typing import Final

import polars as pl
from datafusion import SessionConfig, SessionContext

from lakehouse.semantics.dialects import for_datafusion

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
