"""Counting the rows that break a table's rules, day by day, by Polars."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.columns import TableContract
from lakehouse.delta.days import rows_by_day
from lakehouse.delta.layout import Span
from lakehouse.delta.read import scan_opened
from lakehouse.delta.tables import open_table
from lakehouse.settings import Settings
from quality.by_hand import BY_HAND
from quality.generated import generated
from quality.rules import RowRule, Rule

ROWS_AT_ONCE: Final = 1_000_000
"""Of several days; a day is read at once, however many it has."""
SAMPLES: Final = 3
"""How many broken rows are shown for each broken rule."""

SET_ASIDE: Final = 10_000
"""How many of them are kept for the quarantine: a rule that every row breaks must not copy the table."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was seen of one table version: how many rows break each rule, in the order of `rules_of`."""

    table: str
    version: int
    schema: str
    """Columns and types as they are stored."""
    rows: int
    seconds: float
    broken: dict[str, int]
    samples: dict[str, list[dict[str, object]]]
    """Some of the rows that break a rule (of a unique key: the repeated keys)."""
    failing: dict[str, pl.DataFrame]
    """The rows that break a rule, up to `SET_ASIDE` of each."""


def rules_of(contract: TableContract) -> list[Rule]:
    """The table's rules: those of its contract, then those written by hand."""
    return [*generated(contract), *BY_HAND.get(contract.name, ())]


def declared_schema(contract: TableContract) -> str:
    """Columns and types in the form of `Counts.schema`."""
    return ", ".join(f"{field.name} {field.type}" for field in arrow_schema(contract))


def count(settings: Settings, contract: TableContract, day: date | None, as_of: datetime | None = None) -> Counts:
    """Checks the newest version, or that of the time `as_of`: of a table that has days that day's rows, if one is
    given, else all.

    A few days at a time, which bounds the memory: a key holds its date, so no two days share one.

    Raises what `lakehouse.delta.open_table` raises.
    """
    began = time.perf_counter()
    opened = open_table(settings, contract.name, timestamp=as_of)
    stored = pa.schema(opened.schema().to_arrow())
    schema = ", ".join(f"{field.name} {_plain(str(field.type))}" for field in stored)
    totals = dict.fromkeys((rule.says for rule in rules_of(contract)), 0)
    samples: dict[str, list[dict[str, object]]] = {}
    failing: dict[str, pl.DataFrame] = {}
    checked = 0
    if schema == declared_schema(contract):
        for span in _spans(settings, contract, opened, day):
            rows = scan_opened(settings, contract.name, opened, span)
            checked += _count_rows(rows, rules_of(contract), totals, samples, failing)
    seconds = time.perf_counter() - began
    return Counts(contract.name, int(opened.version()), schema, checked, seconds, totals, samples, failing)


def _spans(settings: Settings, contract: TableContract, opened: DeltaTable, day: date | None) -> Iterator[Span | None]:
    """First and last days; all in one (None) of a table that has none."""
    if contract.day is None:
        yield None
        return
    if day is not None:
        yield day, day
        return
    days, rows = list[date](), 0
    for each, held in sorted(rows_by_day(settings, contract.name, opened).items()):
        if days and rows + held > ROWS_AT_ONCE:
            yield days[0], days[-1]
            days, rows = [], 0
        days.append(each)
        rows += held
    if days:
        yield days[0], days[-1]


def _count_rows(
    rows: pl.LazyFrame,
    rules: list[Rule],
    totals: dict[str, int],
    samples: dict[str, list[dict[str, object]]],
    failing: dict[str, pl.DataFrame],
) -> int:
    """Adds what breaks each rule to `totals`, in one pass over the rows plus one for each `FrameRule`, and two for each
    rule that is broken."""
    row_rules = [rule for rule in rules if isinstance(rule, RowRule)]
    sums = [rule.breaks.fill_null(False).sum().alias(rule.says) for rule in row_rules]
    seen = rows.select(pl.len().alias(""), *sums).collect(engine="streaming").row(0, named=True)
    for rule in rules:
        if isinstance(rule, RowRule):
            found = int(seen[rule.says])
        else:
            found = int(rule.broken(rows).select(pl.len()).collect(engine="streaming").item())
        totals[rule.says] += found
        missing = SAMPLES - len(samples.get(rule.says, ()))
        if found and missing > 0:
            samples.setdefault(rule.says, []).extend(rule.broken(rows).head(missing).collect().to_dicts())
        kept = failing.get(rule.says)
        if found and (missing := SET_ASIDE - (0 if kept is None else kept.height)) > 0:
            more = rule.failing(rows).head(missing).collect(engine="streaming")
            failing[rule.says] = more if kept is None else pl.concat([kept, more])
    return int(seen[""])


def _plain(arrow_type: str) -> str:
    """Without what engines differ in and Delta doesn't store: the width of string and binary offsets."""
    return arrow_type.removeprefix("large_").removesuffix("_view")
