"""What happened to a mart's sources between two looks: the commits, and the events that came in or went."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from lakehouse.contracts.events import EVENTS, EventContract
from lakehouse.contracts.graph import finer
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.days import days_changed
from lakehouse.delta.describe import commits as commits_of
from lakehouse.delta.describe import versions_read
from lakehouse.explain.changes import reason
from lakehouse.explain.records import with_lateness
from lakehouse.ledger.tables import Tables
from lakehouse.semantics.lateness import Lateness
from lakehouse.semantics.metrics import SCOPES
from lakehouse.settings import Settings
from lakehouse.time_travel.look import Look, Span

EVENTS_BETWEEN: Final = pl.Schema(
    {
        "topic": pl.String(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "change": pl.String(),
        "lateness": pl.String(),
        "arrival": pl.Datetime("us", "UTC"),
        "event_time": pl.Datetime("us", "UTC"),
        "key": pl.String(),
        "event_id": pl.String(),
    }
)
"""One row per event that silver has at one of the looks only. `change`: ``new`` or ``gone``."""
_POSITION: Final = ["partition", "offset"]
_WORST_FIRST: Final = {str(lateness): rank for rank, lateness in enumerate(reversed(Lateness))}


@dataclass(frozen=True, slots=True)
class SourceCommit:
    """A commit of a source that changed rows which the mart's are made of, or their neighbours of the same days."""

    table: str
    version: int
    at: datetime
    why: str


def commits_between(settings: Settings, then: Look, now: Look) -> Iterator[SourceCommit]:
    """Of each source, the commits after its version of `then` that changed rows of the days; oldest first.

    Raises what `lakehouse.delta.open_table` raises.
    """
    days = _days(_both(then, now))
    for name, last in now.versions.items():
        newest = open_table(settings, name)
        commits = commits_of(newest, last - then.versions[name], last)
        touched = days_changed(settings, name, [commit.version for commit in commits])
        for commit in reversed(commits):
            if not touched[commit.version].isdisjoint(days):
                yield SourceCommit(name, commit.version, commit.at, reason(commit))


def events_between(settings: Settings, then: Look, now: Look, differing: pl.DataFrame) -> pl.DataFrame:
    """`EVENTS_BETWEEN`, the latest first: what silver has at one of the looks only, of the rows whose keys are
    `differing`.

    Raises what `lakehouse.delta.open_table` raises.
    """
    tables, span = Tables(settings), _both(then, now)
    before, after = silver_versions(settings, then), silver_versions(settings, now)
    found = [pl.DataFrame(schema=EVENTS_BETWEEN)]
    for topic, scope in SCOPES[now.mart].affected.items() if differing.height else ():
        event = EVENTS[topic]
        keys = [column for column in scope.key if column in differing.columns]
        concerned = differing.select(keys).unique() if keys else None
        name = f"silver.{event.table}"
        was, is_now = (_events(tables.scan(name, at.get(name)), event, span, concerned) for at in (before, after))
        for change, here, there in (("new", is_now, was), ("gone", was, is_now)):
            only = here.join(there, on=[*_POSITION, "arrival"], how="anti").with_columns(
                change=pl.lit(change), lateness=None
            )
            records = only.select(pl.col(column).cast(kind) for column, kind in EVENTS_BETWEEN.items())
            found.append(with_lateness(records, tables.scan(f"bronze.{event.table}")))
    rank = pl.col("lateness").replace_strict(_WORST_FIRST, return_dtype=pl.Int8)
    return pl.concat(found).sort(rank, "arrival", "topic", *_POSITION)


def silver_versions(settings: Settings, look: Look) -> dict[str, int]:
    """Of silver's tables of events, the versions behind a look: its sources', or those that the finer table among them
    was computed from, as its commits say; where they don't, those of the time."""
    rolled_up = finer(look.mart)
    found = versions_read(open_table(settings, rolled_up), look.versions[rolled_up]) if rolled_up else {}
    found |= look.versions
    for topic in SCOPES[look.mart].affected:
        name = f"silver.{EVENTS[topic].table}"
        if name not in found:
            try:
                found[name] = int(open_table(settings, name, timestamp=look.at).version())
            except TableMissingError:
                continue
    return found


def _events(silver: pl.LazyFrame, event: EventContract, span: Span, concerned: pl.DataFrame | None) -> pl.DataFrame:
    """Of the keys `concerned` (None: of all), the events of the time; of a changelog, the versions that began by its
    end."""
    first, last = span
    if event.changelog:
        rows = silver.filter(pl.col("valid_from") <= last)
    else:
        of_days = pl.col("event_date").is_between(first.date(), last.date())
        rows = silver.filter(of_days, pl.col("event_time").is_between(first, last))
    if concerned is not None:
        rows = rows.join(concerned.lazy(), on=concerned.columns, how="semi")
    return rows.select(
        "topic", *_POSITION, "arrival", "event_time", pl.col(event.key).alias("key"), "event_id"
    ).collect()


def _both(then: Look, now: Look) -> Span:
    return min(then.span[0], now.span[0]), max(then.span[1], now.span[1])


def _days(span: Span) -> set[date | None]:
    """The days of the time, and None, for rows that have no day."""
    first, last = span[0].date(), span[1].date()
    return {None, *(first + timedelta(days=n) for n in range((last - first).days + 1))}
