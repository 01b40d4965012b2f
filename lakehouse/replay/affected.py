"""Which rows of a table events affect, and on which days: what a replay rewrites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.graph import sources
from lakehouse.contracts.tables import table
from lakehouse.delta import open_table, scan, scan_opened
from lakehouse.delta.layout import Files
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.scopes import IntervalAround, Key, NaturalSession, Window
from lakehouse.settings import Settings

ALERTS: Final = "gold.alerts"
"""Drawn from rows of its sources. What else is drawn from other tables' rows is drawn from sessions, with the purchases
in them."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What is recomputed of a table: the days that hold affected rows (none: it has no days, all of it).

    `rows`: how many rows the events affect, as far as it can be told before they are computed. `files` and `bytes`:
    what lies there today and is rewritten.
    """

    table: str
    rows: int
    days: tuple[date, ...]
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Affected:
    """What the events `chosen`, by topic, affect: frames of keys, `event_time` and `event_date`."""

    settings: Settings
    chosen: Mapping[str, pl.DataFrame]
    _sessions: dict[tuple[str, ...], pl.DataFrame] = field(default_factory=dict)

    def touched(self, name: str) -> Touched:
        """Of the table `name`. Raises what `lakehouse.delta.open_table` raises."""
        days = sorted(self.days(name))
        opened = open_table(self.settings, name)
        files = Files(opened)
        column = table(name).day
        rewritten = files.within(column, ((day, day) for day in days)) if column else files.paths
        size = sum(files.sizes[path] for path in rewritten)
        if _drawn_from_all(name):
            stored = scan_opened(self.settings, name, opened).filter(pl.col("event_date").is_in(days))
            rows = int(stored.select(pl.len()).collect().item())
        else:
            # By a hash of each: millions of keys are counted, and two that share one are as good as none.
            scopes = SCOPES[name].affected.items()
            hashes = [self._keys(scope, topic).hash_rows() for topic, scope in scopes if topic in self.chosen]
            rows = pl.concat(hashes).n_unique() if hashes else 0
        return Touched(name, rows, tuple(days), len(rewritten), size)

    def days(self, name: str) -> set[date]:
        """The days on which the table has rows that the events affect; none of one that has no days."""
        if table(name).day is None:
            return set()
        if name == ALERTS:
            return set().union(*(self.days(source) for source in sources(name)))
        if _drawn_from_all(name):
            happened: set[date] = set().union(*(events["event_date"].unique() for events in self.chosen.values()))
            return happened | set(self.sessions(tuple(self.chosen))["event_date"].unique())
        days: set[date] = set()
        for topic, scope in SCOPES[name].affected.items():
            if topic not in self.chosen:
                continue
            time = pl.col("event_time")
            match scope:
                case Window(size_ms=size, every_ms=every):
                    edges = (time - timedelta(milliseconds=size - every), time)
                case IntervalAround(before_ms=before, after_ms=after):
                    edges = (time - timedelta(milliseconds=before), time + timedelta(milliseconds=after))
                case NaturalSession():
                    days |= set(self.sessions((topic,))["event_date"].unique())
                    edges = (time, time)
                case _:
                    raise TypeError(f"{name}: no days for {scope}")
            outermost = _outermost(self.chosen[topic])
            for edge in edges:
                days |= set(outermost.select(edge.dt.date()).to_series())
        return days

    def sessions(self, topics: tuple[str, ...]) -> pl.DataFrame:
        """The sessions there are of the users of these topics' events, as far as the events' times, widened by the gap,
        may touch them."""
        if topics not in self._sessions:
            events = pl.concat([self.chosen[topic].select("user_id", "event_time") for topic in topics])
            scope = SCOPES["silver.sessions"].affected[CLICKS.topic]
            assert isinstance(scope, NaturalSession)  # noqa: S101  for mypy
            gap = timedelta(milliseconds=scope.gap_ms)
            first, last = events["event_time"].min(), events["event_time"].max()
            self._sessions[topics] = (
                scan(self.settings, "silver.sessions")
                .filter((pl.col("session_end") > first - gap) & (pl.col("session_start") < last + gap))  # type: ignore[operator]
                .select("user_id", "session_start", "event_date")
                .join(events.lazy().select("user_id").unique(), "user_id", "semi")
                .collect()
            )
        return self._sessions[topics]

    def _keys(self, scope: Any, topic: str) -> pl.DataFrame:
        """What tells the affected rows apart, a row as often as it is affected: of a window its key and start, of a
        session its user and start."""
        events = self.chosen[topic]
        match scope:
            case Window(size_ms=size, every_ms=every, key=key):
                latest = pl.col("event_time").dt.truncate(f"{every}ms")
                starts: Sequence[pl.Expr] = [latest - timedelta(milliseconds=back) for back in range(0, size, every)]
                known = events.drop_nulls(list(key))
                if len(starts) == 1:
                    return known.select(*key, start=starts[0])
                return known.select(*key, start=pl.concat_list(starts)).explode("start")
            case NaturalSession():
                return self.sessions((topic,)).select("user_id", start="session_start")
            case Key(key=key):
                return events.select(key)
            case IntervalAround():
                return events.select("user_id", start="event_time")
        raise TypeError(f"no keys for {scope}")


def _drawn_from_all(name: str) -> bool:
    """Of a table that is drawn from other tables' rows, any of which may have changed."""
    return all(scope == Key(()) for scope in SCOPES[name].affected.values())


def _outermost(events: pl.DataFrame) -> pl.DataFrame:
    """The first and the last event time of each day: moved by less than a day, they reach every day that any time of
    it does."""
    times = events.group_by("event_date").agg(first=pl.min("event_time"), last=pl.max("event_time"))
    return pl.concat([times.select(event_time="first"), times.select(event_time="last")])
