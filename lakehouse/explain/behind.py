"""Which events a row is made of, as conditions on their columns: derived from the scopes that engines refresh by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from lakehouse.alerts import CTR_ANOMALY
from lakehouse.contracts.events import CLICKS, EVENTS, MAX_CLOCK_SKEW_MS, PRODUCTS, PURCHASES, TRANSACTIONS
from lakehouse.contracts.owners import FRAUD_ONLINE
from lakehouse.contracts.tables import TABLES, table
from lakehouse.contracts.times import milliseconds
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.scopes import FOREVER

ALERTS: Final = "gold.alerts"
FUNNEL: Final = "marts.session_funnel"
SESSIONS: Final = "silver.sessions"
_ONLINE: Final = f"silver.{FRAUD_ONLINE}"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

EXPLAINED: Final = tuple(name for name in TABLES if name in SCOPES or name == _ONLINE)
"""Tables whose rows are made of events that bronze holds."""

Row = Mapping[str, Any]


class NotExplainedError(LookupError):
    """The rows of the table are not made of events."""

    def __init__(self, name: str) -> None:
        what = "are Kafka's records themselves" if table(name).layer == "bronze" else "are not made of events"
        super().__init__(
            f"the rows of {name} {what}: see them with `lakehouse table read {name}`. "
            f"Explained are: {', '.join(EXPLAINED)}"
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Events of one topic: those whose columns are `equal`, whose event time lies in the closed range `between`, and
    that lie in one of the `sessions`, from its first to its last event.

    The row counts them, or, not `counted`, its rule only looked at them: they are in none of its sums.
    """

    topic: str
    equal: Mapping[str, Any]
    between: tuple[datetime, datetime] | None = None
    counted: bool = True
    sessions: pl.DataFrame | None = None

    @property
    def _where(self) -> list[pl.Expr]:
        same = [pl.col(name) == pl.lit(value) for name, value in self.equal.items()]
        if self.between is None:
            return same
        first, last = self.between
        return [*same, pl.col("event_time").is_between(pl.lit(first), pl.lit(last))]

    def in_silver(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Those of a silver table; with the days, by which it is partitioned."""
        if self.between is None:
            return self._of(events)
        first, last = self.between
        return self._of(events, pl.col("event_date").is_between(first.date(), last.date()))

    def in_bronze(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """Those of a bronze table; with the days of arrival: no valid event is later than its arrival but for the
        clock skew allowed."""
        if self.between is None:
            return self._of(events)
        earliest = self.between[0] - timedelta(milliseconds=MAX_CLOCK_SKEW_MS)
        return self._of(events, pl.col("arrival_date") >= earliest.date())

    def _of(self, events: pl.LazyFrame, *days: pl.Expr) -> pl.LazyFrame:
        found = events.filter(pl.all_horizontal(*self._where, *days))
        if self.sessions is None:
            return found
        within = pl.col("event_time").is_between("session_start", "session_end")
        of_user = found.join(self.sessions.lazy(), on="user_id", how="inner")  # they don't overlap
        return of_user.filter(within).drop("session_start", "session_end")


def behind(name: str, row: Row, sessions: pl.DataFrame | None = None) -> tuple[Part, ...]:
    """The events behind a row of the table `name`. `sessions`: those that a row of `FUNNEL` is drawn from.

    Raises NotExplainedError for a table that is none of `EXPLAINED`.
    """
    if name not in EXPLAINED:
        raise NotExplainedError(name)
    if name == ALERTS:
        return behind(*drawn_from(row))
    if name == FUNNEL:
        return () if sessions is None else _in_sessions(sessions)
    contract = table(name)
    if name in (_ONLINE, "gold.fraud_decisions"):
        return _of_transaction(row)
    if name == "silver.purchase_clicks":
        return _of_purchase(row)
    if contract.layer == "silver" and (event := EVENTS.get(f"shop.{name.partition('.')[2]}")):
        if event.changelog:
            return (Part(event.topic, {column: row[column] for column in contract.key}),)
        return (_one(event.topic, row), *_version(row))
    scope = SCOPES[name]
    start, end = _span(row, scope.row_time)
    return tuple(
        Part(topic, {k: row[k] for k in needed.key}, _range(*needed.events(start, end)))
        for topic, needed in scope.needs.items()
        if not EVENTS[topic].changelog  # names and prices; they give nothing to the sums
    )


def drawn_from(alert: Row) -> tuple[str, Row]:
    """The table that an alert is drawn from, and what identifies the row there."""
    key, start, end = alert["key"], alert["window_start"], alert["window_end"]
    if alert["rule"] == CTR_ANOMALY:
        return "gold.product_metrics_5m", {"product_id": key, "window_start": start}
    if alert["event_id"] is None:
        return "silver.sessions", {"user_id": key, "session_start": start, "session_end": end}
    identity = {"event_id": alert["event_id"], "event_time": alert["event_time"]}
    return "gold.fraud_decisions", {"user_id": key} | identity


def of_day(sessions: pl.LazyFrame, row: Row) -> pl.DataFrame:
    """The sessions that a row of `FUNNEL` is drawn from: those that began on its day."""
    columns = ("user_id", "session_start", "session_end")
    return sessions.filter(pl.col("event_date") == row["event_date"]).select(columns).collect()


def _in_sessions(sessions: pl.DataFrame) -> tuple[Part, ...]:
    """All their clicks, and their users' purchases meanwhile."""
    if sessions.is_empty():
        return ()
    between = (sessions["session_start"].min(), sessions["session_end"].max())
    return tuple(Part(event.topic, {}, between, sessions=sessions) for event in (CLICKS, PURCHASES))  # type: ignore[arg-type]


def _one(topic: str, row: Row) -> Part:
    key = EVENTS[topic].key
    return Part(topic, {key: row[key], "event_id": row["event_id"]}, (row["event_time"], row["event_time"]))


def _version(row: Row) -> tuple[Part, ...]:
    """The product's version with which an event was enriched."""
    if row.get("product_valid_from") is None:
        return ()
    version = {"product_id": row["product_id"], "valid_from": row["product_valid_from"]}
    return (Part(PRODUCTS.topic, version, counted=False),)


def _of_transaction(row: Row) -> tuple[Part, ...]:
    """Itself; its counts and its trigger tell of those before it."""
    topic = TRANSACTIONS.topic
    return (_one(topic, row), _reach("gold.fraud_decisions", topic, {"user_id": row["user_id"]}, row))


def _of_purchase(row: Row) -> tuple[Part, ...]:
    """Itself and the click that its row names; the other clicks that might have been it."""
    candidates = {"user_id": row["user_id"], "product_id": row["product_id"], "action": "click"}
    looked_at = _reach("silver.purchase_clicks", CLICKS.topic, candidates, row)
    if row["click_event_id"] is None:
        return _one(PURCHASES.topic, row), looked_at
    click = {"user_id": row["user_id"], "event_id": row["click_event_id"], "event_time": row["click_event_time"]}
    return _one(PURCHASES.topic, row), _one(CLICKS.topic, click), looked_at


def _reach(name: str, topic: str, equal: Mapping[str, Any], row: Row) -> Part:
    t = milliseconds(row["event_time"])
    return Part(topic, equal, _range(*SCOPES[name].needs[topic].events(t, t)), counted=False)


def _span(row: Row, row_time: str | None) -> tuple[int, int]:
    """First and last time of what the row covers, as its scope counts it: a window by its start."""
    if row_time is None:
        return -FOREVER, FOREVER
    if row_time == "session_start":
        ends = ("part_start", "part_end") if "part" in row else ("session_start", "session_end")
        return milliseconds(row[ends[0]]), milliseconds(row[ends[1]])
    return milliseconds(row[row_time]), milliseconds(row[row_time])


def _range(start_ms: int, end_ms: int) -> tuple[datetime, datetime] | None:
    return None if start_ms <= -FOREVER else (_EPOCH + start_ms * _MS, _EPOCH + end_ms * _MS)
