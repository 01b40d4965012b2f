"""What is to be said of a table: its size, and how the last check and the last comparison of it ended."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import polars as pl

from lakehouse.compare import TableComparison
from lakehouse.contracts.columns import TableContract
from lakehouse.contracts.tables import TABLES
from lakehouse.delta import TableMissingError, open_table, scan
from lakehouse.delta.describe import Extent, extent
from lakehouse.overview.doubts import doubts
from lakehouse.parity.results import Objective, objectives
from lakehouse.questions import Known, Question
from lakehouse.settings import Settings

CHECKS: Final = "ops.quality_results"
COMPARISONS: Final = "ops.comparisons"


@dataclass(frozen=True, slots=True)
class Checked:
    """The last check of a table's expectations. `failed`: critical ones that were not met. `rows` were checked in
    `seconds`, None where that wasn't noted yet."""

    at: datetime
    version: int | None
    expectations: int
    failed: int
    rows: int
    seconds: float | None

    @property
    def rows_per_second(self) -> float | None:
        return self.rows / self.seconds if self.seconds else None

    @property
    def ok(self) -> bool:
        return not self.failed


@dataclass(frozen=True, slots=True)
class Compared:
    """The last comparison of a table with the reference."""

    at: datetime
    result: TableComparison

    @property
    def ok(self) -> bool:
        return self.result.equal


@dataclass(frozen=True, slots=True)
class TableRow:
    """A table. `extent` is None for one that was never written, or of which nothing is known; `quality` and `parity`
    where it was never checked or compared, or nobody knows. `sampled`: its rows that parity drew in 24 hours, if
    any. `unknown`: why something isn't known, or is only as it was a while ago. `age_seconds`: by cell, how long ago it
    was known; None for never."""

    table: str
    owner: str
    extent: Extent | None = None
    quality: Checked | None = None
    parity: Compared | None = None
    sampled: Objective | None = None
    unknown: tuple[str, ...] = ()
    age_seconds: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether its last check or comparison failed, or a row still differs that parity drew."""
        return any(each is not None and not each.ok for each in (self.quality, self.parity, self.sampled))

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it, and all was found out."""
        return not (self.wrong or self.unknown)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, but for its times."""
        return asdict(self) | {
            "quality": self.quality
            and asdict(self.quality) | {"rows_per_second": self.quality.rows_per_second, "ok": self.quality.ok},
            "parity": self.parity and {"at": self.parity.at, **asdict(self.parity.result), "ok": self.parity.ok},
            "sampled": self.sampled and asdict(self.sampled) | {"ok": self.sampled.ok},
            "ok": self.ok,
        }


def extent_of(settings: Settings, name: str) -> Extent | None:
    """The size of the table; None for one that was never written. Raises what `open_table` raises else."""
    try:
        return extent(open_table(settings, name))
    except TableMissingError:
        return None


def last_checks(settings: Settings) -> dict[str, Checked]:
    """The last check of each table that was ever checked as it is. Raises what `open_table` raises."""
    told = ("version", "expectations", "failed", "rows_checked", "seconds")
    found = _last_of_each(settings, CHECKS, "checked_at", pl.col("as_of").is_null())
    return {row["table"]: Checked(row["checked_at"], *_of(row, *told)) for row in found}


def last_comparisons(settings: Settings) -> dict[str, Compared]:
    """The last comparison of each table that was ever compared. Raises what `open_table` raises."""
    counts = ("table", "version", "rows_compared", "missing", "unexpected", "different")
    found = _last_of_each(settings, COMPARISONS, "compared_at")
    return {row["table"]: Compared(row["compared_at"], TableComparison(*_of(row, *counts))) for row in found}


def _last_of_each(settings: Settings, name: str, time: str, *which: pl.Expr) -> list[dict[str, Any]]:
    try:
        rows = scan(settings, name)
    except TableMissingError:
        return []
    return rows.filter(*which).group_by("table").agg(pl.all().sort_by(time).last()).collect().to_dicts()


def _of(row: Mapping[str, Any], *columns: str) -> list[Any]:
    return [row[column] for column in columns]


def questions_of_tables(settings: Settings) -> Iterator[Question]:
    """What to ask of all tables, and then of each."""
    yield Question("minio", "quality", partial(last_checks, settings))
    yield Question("minio", "parity", partial(last_comparisons, settings))
    yield Question("minio", "sampled", lambda: objectives(settings, datetime.now(UTC)))
    for name in TABLES:
        yield Question("minio", f"table {name}", partial(extent_of, settings, name))


def table_row(contract: TableContract, known: Mapping[str, Known], now: datetime) -> TableRow:
    """The row of a table, from what is known at the time `now` of the questions about it."""
    asked = {"extent": known.get(f"table {contract.name}", Known())}
    asked |= {name: known.get(name, Known()) for name in ("quality", "parity", "sampled")}
    return TableRow(
        contract.name,
        contract.owner,
        asked["extent"].value,
        (asked["quality"].value or {}).get(contract.name),
        (asked["parity"].value or {}).get(contract.name),
        (asked["sampled"].value or {}).get(contract.name),
        unknown=doubts(asked.values(), now),
        age_seconds={cell: each.age_seconds(now) for cell, each in asked.items()},
    )
