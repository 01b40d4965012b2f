"""``ops.rejudged``: which records were judged anew, by whom, and whether all that follows was done.

A run writes its records down before it moves them, and that it is done when all that follows from them is. So what a
run that was killed owes is found: its records stand there, and nothing says that it is done.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from lakehouse.contracts.columns import Type, payload
from lakehouse.contracts.events import EVENTS, EventContract, Kind
from lakehouse.contracts.times import utc
from lakehouse.delta import Once, TableMissingError, append_ops, scan
from lakehouse.rejudge.judged import Misjudged
from lakehouse.settings import Settings

TRAIL: Final = "ops.rejudged"
JUDGED: Final = "judged"
DONE: Final = "done"


def note(settings: Settings, run_id: str, by: str, records: Iterable[Misjudged]) -> None:
    """Writes down what a run is about to move. Raises what `lakehouse.delta.append` raises."""
    rows = [
        {
            "topic": each.topic,
            "partition": each.partition,
            "offset": each.offset,
            "arrival": each.arrival,
            "reason_before": each.before.reason,
            "field_before": each.before.field,
            "reason": each.now.reason,
            "field": each.now.field,
            "event": each.event,
            "record_hash": each.record_hash,
        }
        for each in records
    ]
    append_ops(settings, TRAIL, [_row(run_id, by, JUDGED) | row for row in rows])


def finish(settings: Settings, runs: Iterable[str], by: str) -> None:
    """Writes down that all that follows from these runs is done."""
    for run_id in runs:
        append_ops(settings, TRAIL, [_row(run_id, by, DONE)], Once(settings.prefixed(f"rejudge/{run_id}")))


def unfinished(settings: Settings) -> set[str]:
    """The runs of which nothing says that they are done. Raises ServiceDownError."""
    try:
        runs = scan(settings, TRAIL).select("run_id", "step").unique().collect()
    except TableMissingError:
        return set()
    return set(runs["run_id"]) - set(runs.filter(step=DONE)["run_id"])


def touched(settings: Settings, topic: str, runs: Collection[str] | None = None) -> pl.DataFrame:
    """The events of a topic that these runs (by default all) took away or brought: payload, position, arrival, hash and
    date, each once. A record of which only the reason has changed is none. Raises ServiceDownError."""
    contract = EVENTS[topic]
    schema = _schema(contract)
    try:
        noted = scan(settings, TRAIL)
    except TableMissingError:
        return pl.DataFrame(schema=schema)
    of_topic = noted.filter(pl.col("topic") == topic, pl.col("event").is_not_null())
    of_runs = of_topic if runs is None else of_topic.filter(pl.col("run_id").is_in(list(runs)))
    rows = of_runs.select(*_POSITION, "event").unique(("partition", "offset")).collect()
    events = [event_of(contract, row) for row in rows.iter_rows(named=True)]
    return pl.DataFrame(events, schema=schema, orient="row")


_POSITION: Final = ("topic", "partition", "offset", "arrival", "record_hash")


def _schema(contract: EventContract) -> pl.Schema:
    kinds = {Type.STRING: pl.String(), Type.LONG: pl.Int64(), Type.TIMESTAMP: pl.Datetime("us", "UTC")}
    event = {column.name: kinds[column.type] for column in payload(contract)}
    place = {"topic": pl.String(), "partition": pl.Int32(), "offset": pl.Int64(), "arrival": kinds[Type.TIMESTAMP]}
    return pl.Schema(event | place | {"record_hash": pl.Int64(), "event_date": pl.Date()})


def event_of(contract: EventContract, row: Mapping[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(row["event"])
    for each in contract.fields:
        if each.kind is Kind.TIME:
            event[each.name] = utc(event[each.name])
    return event | {name: row[name] for name in _POSITION} | {"event_date": event["event_time"].date()}


def _row(run_id: str, by: str, step: str) -> dict[str, Any]:
    return {"run_id": run_id, "recorded_at": datetime.now(UTC), "recorded_by": by, "step": step}
