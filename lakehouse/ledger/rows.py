"""Derived rows against the events that they are made of: sums first, and key by key where they differ."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from lakehouse.checked_sums import checked_sum
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import TABLES, table
from lakehouse.delta import VersionMissingError
from lakehouse.delta.describe import published_days
from lakehouse.ledger.derived import PRODUCT_5M, REDIS_PRODUCTS, Derived, Frames
from lakehouse.ledger.differences import Differences, differences
from lakehouse.ledger.findings import NAMED, Book, Finding, Kind, Sum
from lakehouse.ledger.tables import Tables
from lakehouse.redis_values import LiveValues
from lakehouse.settings import Settings
from lakehouse.shell import quoted

KEYS: Final = 1_000
"""So many keys a finding holds; its `count` says how many there are."""
_WHY: Final = {
    Kind.LOST: "events belong there",
    Kind.DOUBLED: "the row is there twice, or no event belongs there",
    Kind.ALTERED: "its events don't add up to it",
}


@dataclass(frozen=True, slots=True)
class Slice:
    """What of a derived table was computed from which `versions` of its sources; `days`: of a mart, those days."""

    versions: Mapping[str, int] = field(default_factory=dict)
    days: tuple[date, ...] | None = None

    def of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        if self.days is None:
            return rows
        return rows.filter(pl.col("event_date").is_between(min(self.days), max(self.days))).filter(
            pl.col("event_date").is_in(self.days)
        )


def audit_rows(tables: Tables, derived: Derived, rows: pl.LazyFrame, book: Book) -> None:
    """Adds what `rows`, the content of the derived table, hold, and what is wrong with them.

    A table is right if it follows from silver as it is or, where silver was found wrong, as it must be: it may have
    been computed before silver went wrong.
    """
    found: list[Differences] = []
    for part in _slices(tables, derived, book):
        try:
            found.append(_compare(tables, derived, rows, part))
        except VersionMissingError as error:
            days = f" of {len(part.days)} days" if part.days else ""
            book.notes.append(f"{derived.name}{days}: {error}")
    totals = rows.select(pl.sum("events"), pl.col("fingerprint").cast(pl.Int128).sum()).collect().row(0)
    version = None if derived.live else tables.version(derived.name)
    book.sums.append(Sum(derived.name.split(".")[0], derived.name, version, *totals))
    if not totals[0]:
        book.notes.append(f"{derived.name} has no rows{_owner(tables, derived)}")
    book.notes += _without_sum(derived, rows)
    for kind, frames in (
        (Kind.LOST, [f.lost for f in found]),
        (Kind.DOUBLED, [f.doubled for f in found]),
        (Kind.ALTERED, [f.altered for f in found]),
    ):
        count = sum(f.height for f in frames)
        if count:
            keys = tuple(_text(row) for f in frames for row in f.sort(f.columns).head(KEYS).to_dicts())[:KEYS]
            book.findings.append(Finding(kind, derived.name, _WHY[kind], keys=keys, count=count))


def _without_sum(derived: Derived, rows: pl.LazyFrame) -> Iterable[str]:
    """What is to be said of rows that stand aside with a sum of money."""
    for money in derived.money:
        aside = rows.filter(pl.col(money).is_null()).select(derived.key).sort(derived.key).collect()
        if aside.height:
            named = "; ".join(map(_text, aside.head(NAMED).to_dicts())) + ("; ..." if aside.height > NAMED else "")
            yield f"{money} of {aside.height:,} rows of {derived.name}, which have none as it fits no 64 bits: {named}"


def live_rows(settings: Settings, derived: Derived) -> pl.LazyFrame:
    """What Redis holds now; raises ServiceDownError when it does not answer."""
    values = LiveValues(settings)
    try:
        contract = table(PRODUCT_5M if derived.name == REDIS_PRODUCTS else "silver.sessions")
        return to_frame(contract, values.rows(derived.name.removeprefix("redis."))).lazy()
    finally:
        values.close()


def _owner(tables: Tables, derived: Derived) -> str:
    if derived.live or tables.version(derived.name) is not None:
        return ""
    return f": it has not been written yet; {TABLES[derived.name].owner} writes it"


def _slices(tables: Tables, derived: Derived, book: Book) -> list[Slice]:
    if derived.live:
        return [Slice()]
    if not derived.name.startswith("marts."):
        return [Slice(tables.read(derived.name))]
    return list(_days(tables, derived, book))


def _days(tables: Tables, derived: Derived, book: Book) -> Iterable[Slice]:
    """A mart's days by the versions that each was last published from: it says nothing of what came later."""
    opened = tables.pin(derived.name)
    if opened is None:
        return
    published = {day: tuple(said.read_versions.items()) for day, said in published_days(opened).items()}
    held = set(tables.scan(derived.name).select(pl.col("event_date").unique()).collect()["event_date"])
    if unknown := held - set(published):
        book.notes.append(
            f"{derived.name} of {len(unknown)} days: they were published before the history that is kept, from "
            f"versions that nobody knows"
        )
    by_versions: dict[tuple[tuple[str, int], ...], list[date]] = {}
    for day, versions in published.items():
        by_versions.setdefault(versions, []).append(day)
    for versions, days in by_versions.items():
        yield Slice(dict(versions), tuple(sorted(days)))


def _compare(tables: Tables, derived: Derived, rows: pl.LazyFrame, part: Slice) -> Differences:
    rows = part.of(rows)

    def against(sources: Frames) -> Differences:
        return compare_rows(derived, rows, part.of(derived.gives({**sources, derived.name: rows})))

    as_is = {name: tables.scan(name, part.versions.get(name)) for name in derived.sources}
    found = against(as_is)
    mended = {name: frame for name in derived.sources if (frame := tables.mended(name)) is not None}
    return against(as_is | mended) if mended and _any(found) else found


def _any(found: Differences) -> bool:
    return bool(found.lost.height or found.doubled.height or found.altered.height)


def compare_rows(derived: Derived, rows: pl.LazyFrame, given: pl.LazyFrame) -> Differences:
    """How `rows` depart from what the events give, by the key of `derived`; where a bucket's sums are right, its rows
    are not looked at one by one.

    A row moved to another key would leave the sums as they are: so a digest of each event's key is among them.

    A bucket is summed in 128 bits, in which a row that has no sum of money counts as nothing: its bucket is looked at.
    """
    rows = rows.with_columns(pl.col("fingerprint").cast(pl.Int128))
    bucket, summed = derived.bucket, list(derived.summed)
    exact = pl.col(*summed).cast(pl.Int128).sum()
    place = (pl.struct(derived.key).hash().cast(pl.Int128) * pl.col("events")).sum().alias("place")
    due, held = (
        frame.group_by(bucket).agg(exact, place).collect(engine="streaming") for frame in (derived.keyed(given), rows)
    )
    right = due.join(held, on=due.columns, how="semi")[bucket]
    buckets = pl.concat([due[bucket], held[bucket]]).unique()
    wrong = buckets.filter(~buckets.is_in(right.implode()))
    concerned = pl.col(bucket).is_in(wrong.implode())
    # Even where nothing is wrong: the frames are empty then, and have the columns.
    sums = (pl.sum("events", "fingerprint"), *map(checked_sum, derived.measures))
    by_key = derived.keyed(given.filter(concerned)).group_by(derived.key).agg(*sums)
    of_key = rows.filter(concerned).select(*derived.key, *summed)
    return differences(by_key.collect(), of_key.collect(), derived.key)


def _text(key: Mapping[str, Any]) -> str:
    """Each value as it can be pasted."""
    return ", ".join(f"{n}={v.isoformat() if isinstance(v, date) else quoted(str(v))}" for n, v in key.items())
