"""One day of a mart: computed by both engines, compared row for row, published once."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, TypeAlias

import polars as pl
import pyarrow as pa

from jobs.rust_engines import product_daily, region_daily, session_funnel
from jobs.rust_engines.days import whole_day
from jobs.rust_engines.estimate import Estimate, estimates
from jobs.rust_engines.publications import Place, never, newer
from jobs.rust_engines.sources import Pinned, Sources
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import UnknownTableError, table
from lakehouse.delta import notes
from lakehouse.settings import Settings
from lakehouse.time_travel.look import Look, Span

Engine: TypeAlias = Literal["polars", "datafusion"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mart:
    """How a mart is computed, once per engine, from `reads`; `span`: the event times that a day's rows depend on."""

    name: str
    by_polars: Callable[[Sources, date], pl.LazyFrame]
    by_datafusion: Callable[[Sources, date], pa.Table]
    span: Callable[[Sources, date], Span] = whole_day

    @property
    def reads(self) -> tuple[str, ...]:
        return table(self.name).reads

    def compute(self, engine: Engine, sources: Sources, day: date) -> pl.DataFrame:
        """The mart's rows for `day`, by the table's contract, in the order of its key."""
        if engine == "polars":
            rows = self.by_polars(sources, day).collect(engine="streaming")
        else:
            rows = pl.DataFrame(self.by_datafusion(sources, day))
        contract = table(self.name)
        return rows.select(contract.column_names).cast(polars_schema(contract)).sort(contract.key)

    def compute_by_both(self, sources: Sources, day: date) -> "Computed":
        """The same by both engines, one after the other; raises EnginesDisagreeError."""
        rows: dict[Engine, pl.DataFrame] = {}
        seconds: dict[str, float] = {}
        engines: tuple[Engine, ...] = ("polars", "datafusion")
        for engine in engines:
            began = time.perf_counter()
            rows[engine] = self.compute(engine, sources, day)
            seconds[engine] = time.perf_counter() - began
        require_equal(self.name, day, rows["polars"], rows["datafusion"])
        return Computed(rows, seconds)


@dataclass(frozen=True, slots=True)
class Computed:
    """A mart's day by each engine: equal rows, and the seconds that they took, reading included."""

    rows: Mapping[Engine, pl.DataFrame]
    seconds: dict[str, float]


MARTS: Final = {
    mart.name: mart
    for mart in (
        Mart("marts.product_daily", product_daily.by_polars, product_daily.by_datafusion),
        Mart("marts.region_daily", region_daily.by_polars, region_daily.by_datafusion),
        Mart(
            "marts.session_funnel",
            session_funnel.by_polars,
            session_funnel.by_datafusion,
            session_funnel.span,
        ),
    )
}
"""Marts by table name."""


class EnginesDisagreeError(RuntimeError):
    """Polars and DataFusion computed different rows; nothing was published."""

    def __init__(self, mart: str, day: date, only_polars: pl.DataFrame, only_datafusion: pl.DataFrame) -> None:
        super().__init__(
            f"{mart} of {day}: {only_polars.height} rows by Polars alone, {only_datafusion.height} by DataFusion "
            f"alone; nothing was published. Polars: {only_polars.head(3).to_dicts()}; "
            f"DataFusion: {only_datafusion.head(3).to_dicts()}"
        )
        self.only_polars = only_polars
        self.only_datafusion = only_datafusion


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published: `version` of the mart holds `rows` rows of `day`, computed from `sources`."""

    mart: str
    day: date
    engine: Engine
    rows: int
    version: int
    sources: dict[str, int]
    seconds: dict[str, float]
    """By engine, reading included."""
    estimate: Estimate


def find_mart(name: str) -> Mart:
    """The mart ``product_daily``, or ``marts.product_daily``; raises UnknownTableError."""
    full_name = name if "." in name else f"marts.{name}"
    if full_name not in MARTS:
        raise UnknownTableError(full_name, MARTS)
    return MARTS[full_name]


def estimate_days(
    settings: Settings, mart: str, days: Sequence[date], as_of: datetime | None = None
) -> dict[date, Estimate]:
    """What `publish_day` would read and take for each of `days`. Raises what it raises for a mart or a source that is
    not there."""
    chosen = find_mart(mart)
    return estimates(settings, chosen.name, Sources.pin(settings, chosen.reads, as_of), days)


def look_at(settings: Settings, mart: str, day: date, as_of: datetime | None = None) -> Look:
    """What `mart` (as for `find_mart`) would hold of the UTC day, from the tables as they are, or as they were at
    `as_of` (with a zone); by both engines, and published nowhere.

    Raises UnknownTableError and EnginesDisagreeError, and what `lakehouse.delta.open_table` raises.
    """
    chosen = find_mart(mart)
    at = as_of or datetime.now(UTC)
    sources = Sources.pin(settings, chosen.reads, as_of)
    rows = chosen.compute_by_both(sources, day).rows["polars"]
    return Look(chosen.name, day, at, sources.versions, chosen.span(sources, day), rows)


def publish_day(
    settings: Settings, mart: str, day: date, engine: Engine = "polars", as_of: datetime | Pinned | None = None
) -> Publication:
    """Computes `mart` (as for `find_mart`) for the UTC day by both engines and, if they agree, puts the rows of
    `engine` in place of the day's rows, in one commit that names its source versions.

    Repeating it changes nothing but the version. `as_of` computes from the tables as they were at that time, or from
    the versions that somebody pinned. What stands there from newer tables stays, unless a time was asked for.

    Raises:
        UnknownTableError: there is no such mart.
        EnginesDisagreeError: they don't agree; the mart is as it was.
        SupersededError: the day was published from newer tables meanwhile; it stays like that.
        ValueError: no version of one of its sources was pinned.
        TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
        CommitRefusedError: other writers won every attempt to commit.
    """
    chosen = find_mart(mart)
    moment = as_of.as_of if isinstance(as_of, Pinned) else as_of
    sources = Sources.pin(settings, chosen.reads, as_of)
    expected = estimates(settings, chosen.name, sources, [day])[day]
    log.info("%s of %s: %s", chosen.name, day, expected)
    computed = chosen.compute_by_both(sources, day)
    rows, seconds = computed.rows[engine], sum(computed.seconds.values())
    log.info("%s of %s: computed in %.1f s", chosen.name, day, seconds)
    note = notes.Publication(
        day=day,
        engine=engine,
        read_versions=sources.versions,
        read_tables=sources.ids,
        read_rows=expected.rows,
        seconds=round(seconds, 6),
        as_of=moment,
    )
    version = Place(settings, chosen.name, day).put(rows, note, never if moment else newer)
    return Publication(chosen.name, day, engine, rows.height, version, sources.versions, computed.seconds, expected)


def require_equal(mart: str, day: date, polars: pl.DataFrame, datafusion: pl.DataFrame) -> None:
    """Raises EnginesDisagreeError unless both hold the same rows, in the same order, every column exact."""
    if polars.equals(datafusion):
        return
    columns = polars.columns
    only_polars = polars.join(datafusion, on=columns, how="anti", nulls_equal=True)
    only_datafusion = datafusion.join(polars, on=columns, how="anti", nulls_equal=True)
    raise EnginesDisagreeError(mart, day, only_polars, only_datafusion)
