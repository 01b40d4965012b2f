"""What the consumer that keeps its offsets with its results has kept."""

import json
from collections.abc import Iterable
from typing import Any

import psycopg

from jobs.streaming.region_revenue.main import TOPIC
from jobs.streaming.region_revenue.store import connect
from lakehouse.contracts.tables import table
from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.semantics.log import read_events
from lakehouse.semantics.reference import METRICS
from lakehouse.settings import Settings
from tests.waiting import until

DAILY = "gold.region_revenue_daily"
SECONDS = 120


def kept(connection: psycopg.Connection) -> dict[int, int]:
    """The offset that comes next, of each partition of which something was kept."""
    rows = connection.execute("SELECT partition, next_offset FROM positions WHERE next_offset > 0")
    return dict(rows.fetchall())


def wait_until_all_is_kept(settings: Settings) -> None:
    ends = {partition: end for partition, end in end_offsets(settings, TOPIC).items() if end}
    with connect(settings) as connection:
        until(lambda: kept(connection) == ends, SECONDS, "all is kept")


def assert_equals_the_reference(settings: Settings) -> int:
    """Every record is there once, and revenue is row for row the reference's; returns how many records there are."""
    records = list(read_partitions(settings, TOPIC))
    log = read_events(records)
    columns = table(DAILY).compared_columns
    with connect(settings) as connection:
        held = connection.execute('SELECT partition, "offset", reason FROM results').fetchall()
        daily = connection.execute(f"SELECT {', '.join(columns)} FROM region_revenue_daily").fetchall()  # noqa: S608
    dead = {(d.partition, d.offset): str(d.reason) for d in log.dead_letters}
    assert sorted(held) == sorted((*(at := (r.partition, r.offset)), dead.get(at)) for r in records)
    found = [dict(zip(columns, row, strict=True)) for row in daily]
    assert _by_key(row | {"region": json.loads(row["region"])} for row in found) == _by_key(
        {name: row[name] for name in columns} for row in METRICS[DAILY].compute(log.events)
    )
    assert found
    return len(records)


def _by_key(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["region"], row["event_date"]))
