"""What the batch layer hands over: the events of its last 24 hours and the sessions that ended in them, in memory.

For older ones the batch layer's tables are read when an event asks for them, and only the days of such events.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import polars as pl

from jobs.streaming.lambda_speed.views import GAP, IDENTITY
from lakehouse.contracts.tables import LAMBDA_EVENTS
from lakehouse.delta import scan
from lakehouse.lambda_layers import HandOver, batch_table
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION
from lakehouse.settings import Settings

RECENT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Seed:
    """`since`: from when on `events` and `sessions` are in memory; None where the batch layer has no event.
    `all_events` and `all_sessions`: the batch layer's tables."""

    all_events: pl.LazyFrame
    all_sessions: pl.LazyFrame
    since: datetime | None
    events: pl.DataFrame
    sessions: pl.DataFrame

    @classmethod
    def take(cls, settings: Settings, hand_over: HandOver) -> Self:
        """Reads what is handed over. Raises what `lakehouse.delta.scan` raises."""
        names = (LAMBDA_EVENTS.name, batch_table("sessions"))
        return cls.of(*(scan(settings, name, version=hand_over.versions[name]) for name in names))

    @classmethod
    def of(cls, events: pl.LazyFrame, sessions: pl.LazyFrame) -> Self:
        """Of the batch layer's tables."""
        newest = events.select(pl.col("event_time").max()).collect().item()
        if newest is None:
            return cls(events, sessions, None, events.collect(), sessions.collect())
        since = newest - RECENT
        recent = events.filter(pl.col("event_time") >= since, pl.col("event_date") >= since.date())
        ended = sessions.filter(pl.col("session_end") >= since)
        return cls(events, sessions, since, recent.collect(), ended.collect())

    def known(self, records: pl.DataFrame) -> pl.DataFrame:
        """Of the events of `records`, those that the batch layer has counted, as it has them."""
        found = [self.events.join(records, IDENTITY, "semi")]
        old = records.filter(pl.col("event_time") < self.since) if self.since is not None else records.clear()
        if old.height:
            of_days = self.all_events.filter(pl.col("event_date").is_in(old["event_date"].unique().to_list())).collect()
            found.append(of_days.filter(pl.col("event_time") < self.since).join(old, IDENTITY, "semi"))
        return pl.concat(found)

    def near(self, clicks: pl.DataFrame) -> pl.DataFrame:
        """The batch layer's sessions that may be part of a session of `clicks`."""
        found = [self.sessions]
        gap = timedelta(milliseconds=SESSION.gap_ms)
        if self.since is not None:
            old = clicks.filter(pl.col("event_time") < self.since + gap)["event_time"]
            if old.len():
                reached = self.all_sessions.filter(
                    pl.col("session_end") < self.since,
                    pl.col("session_end") > pl.lit(old.min()) - GAP,
                    pl.col("session_start") < pl.lit(old.max()) + GAP,
                )
                found.append(reached.collect())
        return pl.concat(found).join(clicks, "user_id", "semi")
