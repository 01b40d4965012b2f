"""A tenant whose Kafka, tables and Redis hold a literal stream as the reference has it, and how to break its tables."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import cast

import polars as pl
from deltalake import DeltaTable, write_deltalake

from lakehouse.compare.reference import Reference
from lakehouse.compare.said import DECISIONS, FRAUD_RULES, SENT
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.tables import BRONZE, table
from lakehouse.delta import Once, append, open_table, scan, table_exists
from lakehouse.delta.notes import Batch, Publication
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.kafka.consumer import read_partitions
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.kafka.topics import ALERTS, create_topics
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValue, LiveValues
from lakehouse.semantics import Event
from lakehouse.semantics.metrics import SCOPES
from lakehouse.semantics.reference import METRICS, Row
from lakehouse.semantics.windows import HOUR, floor, utc_date
from lakehouse.settings import Settings
from tests.lake import decided, frame


def encoded(event: object) -> Outgoing:
    values: Row = event._asdict()  # type: ignore[attr-defined]
    topic = values["topic"]
    payload = {k: v for k, v in values.items() if k not in ("topic", "partition", "offset", "arrival", "record_hash")}
    for name in ("event_time", "valid_from"):
        if name in payload:
            seconds = pl.Series([payload[name]]).cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")
            payload[name] = seconds[0]
    key = values["product_id"] if topic == "shop.products" else values["user_id"]
    return topic, key.encode(), json.dumps(payload).encode()


def live(table_name: str, row: Row) -> LiveValue:
    sent = {k: v for k, v in row.items() if k != "event_date"} | {
        "table": table_name,
        "generation": 1,
        "seq": row["events"],
        "fingerprint": str(row["fingerprint"]),
    }
    window = row.get("window_start") if table_name == PRODUCT_METRICS else None
    key = row["product_id"] if table_name == PRODUCT_METRICS else row["user_id"]
    return LiveValue(table_name, key, window, 1, row["events"], json.dumps(sent).encode())


def fill(settings: Settings, stream: Iterable[Event], broken: Iterable[Outgoing] = ()) -> Reference:
    """Sends the stream, and writes what the reference makes of it."""
    reference = fill_tables(settings, stream, broken)
    values = LiveValues(settings)
    values.replace([live(PRODUCT_METRICS, r) for r in reference.rows("gold.product_metrics_5m")], {})
    values.replace([live(CURRENT_SESSIONS, r) for r in reference.current_sessions()], {})
    return reference


def fill_tables(settings: Settings, stream: Iterable[Event], broken: Iterable[Outgoing] = ()) -> Reference:
    """The same without Redis."""
    create_topics(settings)
    with Sender(settings) as sender:
        sender.send([*map(encoded, stream), *broken])
    reference = Reference.read(settings, kafka_ends(settings))
    write_tables(settings, reference)
    return reference


def write_tables(settings: Settings, reference: Reference, note: Batch | None = None, marts: bool = True) -> None:
    """Bronze, silver, gold and `marts` as the reference has them. `note`: what the commits of silver and gold say."""
    for name in BRONZE:
        for partition in reference.partitions:
            append(settings, name, to_arrow(name, reference.stored(name, partition)), Once.new("test"))
    for name in METRICS:
        rows = reference.frame(name).with_columns(pl.lit("test").alias(c) for c in table(name).not_compared)
        if table(name).layer != "marts":
            append(settings, name, to_arrow(name, rows), Once.new("test"), _noted(settings, name, note))
        elif marts:
            publish(settings, name, rows)


def _noted(settings: Settings, name: str, note: Batch | None) -> Batch | None:
    """`note` with the versions that were read: the alerts' commits always say those, others with what else they say."""
    if name == "gold.alerts":
        read = versions(settings)
    elif note:
        read = events_read(settings, name)
    else:
        read = {}
    return (note or Batch(job="test", batch_id=0)).reading(read) if read else note


def events_read(settings: Settings, name: str) -> dict[str, int]:
    """Of silver's events, the versions that a table was computed from; nothing of one that holds events itself."""
    topics = () if table(name).insert_only else SCOPES[name].affected
    silver = [f"silver.{EVENTS[topic].table}" for topic in topics if not EVENTS[topic].changelog]
    return {source: int(open_table(settings, source).version()) for source in silver}


def publish(settings: Settings, name: str, rows: pl.DataFrame) -> None:
    """A mart's rows, day by day, as from the versions that the tables have now."""
    read = versions(settings)
    for (day,), of_day in rows.group_by("event_date"):
        note = Publication(day=cast(date, day), read_versions=read)
        append(settings, name, to_arrow(name, of_day), Once.new("test"), note)


def versions(settings: Settings) -> dict[str, int]:
    """Of the tables that others are drawn from, those that are there."""
    names = [name for name in METRICS if not name.startswith("marts.") and table_exists(settings, name)]
    return {name: int(open_table(settings, name).version()) for name in names}


def fill_said(settings: Settings, reference: Reference) -> None:
    """Writes Flink's decisions, sends their alerts, and records every alert that was sent by then."""
    decisions = list(decided(reference.log.events))
    append(settings, DECISIONS, to_arrow(DECISIONS, frame(DECISIONS, decisions)), Once.new("test"))
    with Sender(settings) as sender:
        sender.send([_alert(d, rule) for d in decisions for rule, said in FRAUD_RULES.items() if d[said]])
    records = [
        record._asdict()
        | {"arrival": record.arrival_ms, "event_date": utc_date(record.arrival_ms), "rule": None, "state": None}
        | {"record_hash": record_hash(*record[:3], record.value), "dedup_key": None}
        for record in read_partitions(settings, ALERTS)
    ]
    rows = frame(SENT, [{name: record[name] for name in table(SENT).column_names} for record in records])
    append(settings, SENT, to_arrow(SENT, rows), Once.new("test"))


def alert(anomaly: Row, state: str) -> Outgoing:
    """As Flink sends it."""
    key = f"ctr_anomaly/{anomaly['window_start']}/{anomaly['product_id']}"
    turn = {"rule": "ctr_anomaly", "state": state, "dedup_key": f"{key}/{state}"}
    return ALERTS, key.encode(), json.dumps(anomaly | turn).encode()


def _alert(decision: Row, rule: str) -> Outgoing:
    names = ("user_id", "event_id", "event_time", "amount_cents", "transactions_10m", "transactions_1h")
    hour = floor(decision["event_time"], HOUR)
    window = {"window_start": hour, "window_end": hour + HOUR, "state": "opened", "dedup_key": decision["event_id"]}
    return ALERTS, b"fraud", json.dumps({"rule": rule} | {name: decision[name] for name in names} | window).encode()


@contextmanager
def changed(settings: Settings, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Iterator[None]:
    """The table with `change` applied to its rows, and afterwards as it was."""
    options = settings.delta_storage_options()
    opened = DeltaTable(settings.table_path(name), storage_options=options)
    before = opened.version()
    write_deltalake(opened, to_arrow(name, change(scan(settings, name).collect())), mode="overwrite")
    try:
        yield
    finally:
        DeltaTable(settings.table_path(name), storage_options=options).restore(before)
