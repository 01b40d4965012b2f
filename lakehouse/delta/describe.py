"""What a Delta table holds, from its log alone: no data file is read."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable


@dataclass(frozen=True, slots=True)
class Extent:
    """A version's size. `rows` is None if a file's statistics lack the count."""

    version: int
    files: int
    size_bytes: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; `said` is what its writer noted in it (job, batch, source versions)."""

    version: int
    at: datetime
    operation: str
    said: dict[str, Any]


def extent(opened: DeltaTable) -> Extent:
    """The size of the version that is open."""
    actions = pa.table(opened.get_add_actions())
    counts = actions["num_records"] if actions.num_rows else None
    rows = 0 if counts is None else None if counts.null_count else int(pc.sum(counts).as_py())
    size = int(pc.sum(actions["size_bytes"]).as_py() or 0) if actions.num_rows else 0
    return Extent(int(opened.version()), actions.num_rows, size, rows)


def commits(opened: DeltaTable, limit: int | None = None) -> list[Commit]:
    """The newest commits up to the open version, newest first."""
    return [
        Commit(
            entry["version"],
            datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
            entry.get("operation", ""),
            _said(entry.get("userMetadata")),
        )
        for entry in opened.history(limit)
    ]


def _said(user_metadata: str | None) -> dict[str, Any]:
    try:
        said = json.loads(user_metadata) if user_metadata else {}
    except ValueError:
        return {"note": user_metadata}
    return said if isinstance(said, dict) else {"note": said}
