"""What a replay would touch: computed from bronze and from Kafka's offsets, before anything is written."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import STREAM
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, open_table, scan, scan_opened
from lakehouse.delta.layout import Files
from lakehouse.replay.affected import Affected, Touched
from lakehouse.replay.offsets import EARLY, Offsets, Source, find_offsets
from lakehouse.replay.request import MARTS, SILVER, Clock, Request, RequestError
from lakehouse.runtime.code_in_force import code_version, running
from lakehouse.settings import Settings

UNDO_DAYS: Final = 7
"""How long Delta's log and removed files are kept."""
SHOWN_DAYS: Final = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """`events` and `users` by topic: in the range; `event_days`: the days on which they happened. `reads`: events of
    silver that the recomputation reads. `estimated_seconds`: from the rate of earlier replays; None before the first.
    `bronze`: the versions of bronze that the plan was made from, by topic.
    `code_version`: what the plan was made with, and all of it is to be done with.
    `code_before`: what the owner of the stream's tables runs (None: it never said). If it is another code, the swap
    puts `code_version` in force, and an undo puts this one back.
    """

    request: Request
    made_at: datetime
    code_version: str
    events: dict[str, int]
    users: dict[str, int]
    event_days: tuple[date, ...]
    offsets: dict[str, dict[int, Offsets]]
    touched: tuple[Touched, ...]
    reads: int
    estimated_seconds: float | None
    bronze: dict[str, int] = field(default_factory=dict)
    code_before: str | None = None

    @property
    def changes_code(self) -> bool:
        """Whether a swap lets the owner go on with other code."""
        streamed = any(touched.table not in MARTS for touched in self.touched)
        return streamed and self.code_before not in (None, self.code_version)

    @property
    def days(self) -> tuple[date, ...]:
        """All days that are recomputed, in order."""
        return tuple(sorted({*self.event_days, *(day for touched in self.touched for day in touched.days)}))

    @property
    def affected_rows(self) -> int:
        return sum(touched.rows for touched in self.touched)

    @property
    def beyond_kafka(self) -> bool:
        """Whether Kafka no longer holds all of the range: bronze alone does."""
        return any(o.source is Source.BRONZE for partitions in self.offsets.values() for o in partitions.values())

    def undo_reaches(self, swapped_at: datetime) -> datetime:
        """Until when the rows before can be brought back."""
        return swapped_at + timedelta(days=UNDO_DAYS)

    def overlap(self, other: "Plan") -> str | None:
        """The table and days that both write, in words."""
        theirs = {touched.table: set(touched.days) for touched in other.touched}
        for touched in self.touched:
            if touched.table in theirs:
                shared = sorted(theirs[touched.table] & set(touched.days))
                if shared or not touched.days:
                    return touched.table + (f" of {listed(shared)}" if shared else "")
        return None


def make_plan(settings: Settings, request: Request, rate: float | None = None) -> Plan:
    """Finds out what `request` touches. `rate`: events per second of earlier replays.

    Raises:
        RequestError: no event lies in the range; the message says where some do.
        TableMissingError, ServiceDownError: as `lakehouse.delta.open_table`; Kafka does not answer.
    """
    bronze = _bronze(settings, request)
    chosen = {topic: _events(settings, request, topic, opened) for topic, opened in bronze.items()}
    chosen = {topic: events for topic, events in chosen.items() if events.height}
    if not chosen:
        raise RequestError(_nothing(settings, request))
    affected = Affected(settings, chosen)
    touched = tuple(affected.touched(name) for name in request.targets)
    event_days = sorted(set().union(*(events["event_date"].unique() for events in chosen.values())))
    span = sorted({*event_days, *(day for t in touched for day in t.days)})
    reads = sum(_held(settings, name, span[0], span[-1]) for name in SILVER.values())
    return Plan(
        request,
        datetime.now(UTC),
        code_version(),
        {topic: events.height for topic, events in chosen.items()},
        {topic: events["user_id"].n_unique() for topic, events in chosen.items()},
        tuple(event_days),
        find_offsets(settings, request, chosen),
        touched,
        reads,
        reads / rate if rate else None,
        {topic: int(opened.version()) for topic, opened in bronze.items()},
        running(settings, STREAM),
    )


def _bronze(settings: Settings, request: Request) -> dict[str, DeltaTable]:
    """By topic, the table as it is now, without those that nobody has written yet."""
    opened = {}
    for topic in request.topics:
        with suppress(TableMissingError):
            opened[topic] = open_table(settings, f"bronze.{EVENTS[topic].table}")
    return opened


def _events(settings: Settings, request: Request, topic: str, bronze: DeltaTable) -> pl.DataFrame:
    """Of the range: keys, times and positions."""
    name = f"bronze.{EVENTS[topic].table}"
    time = "arrival" if request.clock is Clock.ARRIVAL else "event_time"
    rows = scan_opened(settings, name, bronze)
    last = request.end.date() if request.clock is Clock.ARRIVAL else date.max
    wanted = ("user_id", "product_id", "region", "event_time", "partition", "offset")
    columns = [c for c in wanted if c in table(name).column_names]
    return (
        rows.filter(pl.col("arrival_date").is_between((request.start - EARLY).date(), last))
        .filter((pl.col(time) >= request.start) & (pl.col(time) < request.end))
        .select(columns)
        .with_columns(event_date=pl.col("event_time").dt.date())
        .collect(engine="streaming")
    )


def _nothing(settings: Settings, request: Request) -> str:
    time = "arrival" if request.clock is Clock.ARRIVAL else "event_time"
    held = []
    for topic in request.topics:
        try:
            bounds = (
                scan(settings, f"bronze.{EVENTS[topic].table}").select(first=pl.min(time), last=pl.max(time)).collect()
            )
        except TableMissingError:
            continue
        first, last = bounds.row(0)
        if first is not None:
            held.append(f"those of {topic} from {_stamp(first)} to {_stamp(last)}")
    return f"no event lies from {_stamp(request.start)} to {_stamp(request.end)} by {request.clock} time; " + (
        ", ".join(held) or "bronze holds none at all"
    )


def _held(settings: Settings, name: str, first: date, last: date) -> int:
    """Rows of files with rows of these days, by the Delta log's statistics."""
    try:
        files = Files(open_table(settings, name))
    except TableMissingError:
        return 0
    return sum(files.rows[path] for path in files.within("event_date", [(first, last)]))


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def listed(days: Sequence[date]) -> str:
    """The first of `days`, and how many more there are."""
    shown = ", ".join(day.isoformat() for day in days[:SHOWN_DAYS])
    return shown + (f" and {len(days) - SHOWN_DAYS} more" if len(days) > SHOWN_DAYS else "")
