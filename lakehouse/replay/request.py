"""What somebody asks to be replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import EVENT_TABLES, REFRESHED
from lakehouse.contracts.owners import BACKFILL
from lakehouse.contracts.tables import TABLES, table
from lakehouse.semantics.metrics import SCOPES

SILVER: Final = {topic: name for topic, event in EVENTS.items() if (name := f"silver.{event.table}") in EVENT_TABLES}
"""Where the events of each topic lie, de-duplicated."""
TOPICS: Final = tuple(SILVER)
"""Whose events can be replayed; the changelogs are applied whole whenever they change."""
TOPIC_OF: Final = {name: topic for topic, name in SILVER.items()}

STREAMED: Final = tuple(name for name in REFRESHED if set(SCOPES[name].affected) & set(TOPICS))
MARTS: Final = tuple(t.name for t in TABLES.values() if t.owner == BACKFILL)
TARGETS: Final = (*STREAMED, *MARTS)
"""Tables whose rows can be recomputed, each after those that it is computed from."""


class Engine(StrEnum):
    """Who recomputes."""

    SPARK = "spark"
    POLARS = "polars"
    DATAFUSION = "datafusion"


COMPUTED_BY: Final[Mapping[Engine, tuple[str, ...]]] = {
    Engine.SPARK: STREAMED if CORE is Core.SPARK else (),
    Engine.POLARS: MARTS,
    Engine.DATAFUSION: TARGETS,
}
"""The tables that each engine can recompute."""
USUAL: Final = Engine.SPARK if CORE is Core.SPARK else Engine.DATAFUSION
"""Who recomputes unless somebody says otherwise."""


class Clock(StrEnum):
    EVENT = "event"
    """When it happened, by the event itself."""
    ARRIVAL = "arrival"
    """When Kafka's broker took it, by the record."""


class RequestError(ValueError):
    """Such a replay makes no sense; nothing was touched."""


@dataclass(frozen=True, slots=True)
class Request:
    """The events of `topics` whose time by `clock` lies in [start, end), the tables to set right for them, and who
    recomputes."""

    topics: tuple[str, ...]
    clock: Clock
    start: datetime
    end: datetime
    targets: tuple[str, ...]
    engine: Engine = USUAL

    @classmethod
    def checked(
        cls,
        start: datetime,
        end: datetime,
        now: datetime,
        clock: str = Clock.EVENT,
        topics: Sequence[str] = TOPICS,
        targets: Sequence[str] = (),
        engine: str = USUAL,
    ) -> "Request":
        """A request that makes sense; without `targets`, all tables of `engine` that events of `topics` affect: marts
        only of one that recomputes nothing else, as they are computed from tables as they are.

        Raises:
            RequestError: it doesn't; the message says why, and what would.
            UnknownTableError: there is no such table.
        """
        if start.tzinfo is None or end.tzinfo is None:
            raise RequestError(f"{start} to {end} has no time zone: say 2026-03-01T14:00Z")
        if end <= start:
            raise RequestError(
                f"from {start:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ} is no time: 'to' must lie after 'from'"
            )
        if end > now:
            raise RequestError(f"{end:%Y-%m-%dT%H:%M:%SZ} lies in the future; it is {now:%Y-%m-%dT%H:%M:%SZ}")
        if unknown := [name for name in topics if name not in TOPICS]:
            raise RequestError(f"{', '.join(unknown)} can't be replayed; what can: {', '.join(TOPICS)}")
        if not topics:
            raise RequestError(f"no topic to replay; there are {', '.join(TOPICS)}")
        if engine not in list(Engine):
            raise RequestError(f"there is no engine {engine}; there are {', '.join(Engine)}")
        computed = COMPUTED_BY[Engine(engine)]
        affected = tuple(name for name in computed if set(SCOPES[name].affected) & set(topics))
        if not affected:
            raise RequestError(f"{engine} recomputes nothing that {', '.join(topics)} affect; {_who_computes()}")
        for name in targets:
            table(name)
            if name not in TARGETS:
                raise RequestError(f"{name} is not a table that replays write; those are {', '.join(TARGETS)}")
            if name not in computed:
                others = [other for other in Engine if name in COMPUTED_BY[other]]
                raise RequestError(f"{name} is not recomputed by {engine}, but by {' and '.join(others)}")
            if name not in affected:
                raise RequestError(f"{name} does not depend on {', '.join(topics)}; what does: {', '.join(affected)}")
        streamed = tuple(name for name in affected if name not in MARTS)
        chosen = tuple(name for name in affected if name in targets) if targets else streamed or affected
        return cls(tuple(topics), Clock(clock), start, end, chosen, Engine(engine))


def _who_computes() -> str:
    return "; ".join(f"{engine}: {', '.join(names)}" for engine, names in COMPUTED_BY.items() if names)
