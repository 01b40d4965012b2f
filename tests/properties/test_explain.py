"""For any stream: the records that explain a row are those whose hashes are in its fingerprint, and all others of its
kind are accounted for."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import table
from lakehouse.explain.behind import EXPLAINED, FUNNEL, SESSIONS, behind, of_day
from lakehouse.explain.explanation import RECORDS, Status
from lakehouse.explain.records import records_of, with_lateness
from lakehouse.semantics import Event
from lakehouse.semantics.events import identity
from lakehouse.semantics.lateness import PartitionWatermark
from lakehouse.semantics.log import assemble
from tests.lake import expected, frame
from tests.strategies import event_streams

EXAMPLES = settings(max_examples=25)
Tables = Mapping[str, pl.LazyFrame]


def bronze(stream: list[Event], topic: str) -> pl.LazyFrame:
    name = f"bronze.{EVENTS[topic].table}"
    rows = [e._asdict() | {"value": b"", "arrival_date": None} for e in stream if e.topic == topic]
    dated = frame(name, rows).with_columns(arrival_date=pl.col("arrival").dt.date())
    return dated.cast(polars_schema(table(name))).lazy()


def lake(stream: list[Event]) -> Tables:
    events = assemble(stream).events
    silver = {f"silver.{e.table}": expected(f"silver.{e.table}", events).lazy() for e in EVENTS.values()}
    silver[SESSIONS] = expected(SESSIONS, events).lazy()
    return silver | {f"bronze.{e.table}": bronze(stream, topic) for topic, e in EVENTS.items()}


def records(tables: Tables, name: str, row: Mapping[str, Any]) -> pl.DataFrame:
    def of(layer: str, topic: str) -> pl.LazyFrame:
        return tables[f"{layer}.{EVENTS[topic].table}"]

    sessions = of_day(tables[SESSIONS], row) if name == FUNNEL else None
    parts = [records_of(p, of("silver", p.topic), of("bronze", p.topic)) for p in behind(name, row, sessions)]
    found = pl.concat([pl.DataFrame(schema=RECORDS), *parts])
    return found.unique(["topic", "partition", "offset"], keep="first", maintain_order=True)


def sums(row: Mapping[str, Any]) -> tuple[int, int]:
    return (row["events"], int(row["fingerprint"])) if "events" in row else (1, row["record_hash"])


@pytest.mark.parametrize("name", EXPLAINED)
@EXAMPLES
@given(stream=event_streams())
def test_the_records_of_a_row_are_those_of_its_fingerprint(name: str, stream: list[Event]) -> None:
    tables = lake(stream)
    for row in expected(name, assemble(stream).events).head(8).to_dicts():
        counted = records(tables, name, row).filter(status=Status.COUNTED)
        assert (counted.height, counted["value_hash"].cast(pl.Int128).sum()) == sums(row)
        assert counted["value"].null_count() == 0


@EXAMPLES
@given(stream=event_streams())
def test_what_a_row_leaves_out_names_what_counts_instead(stream: list[Event]) -> None:
    tables = lake(stream)
    used = {(e.topic, e.partition, e.offset) for e in assemble(stream).events.clicks}
    who = {(e.topic, e.partition, e.offset): identity(e) for e in stream}
    for row in expected("silver.sessions", assemble(stream).events).to_dicts():
        for record in records(tables, "silver.sessions", row).to_dicts():
            place = (record["topic"], record["partition"], record["offset"])
            assert (record["status"] == Status.COUNTED) == (place in used)
            if place not in used:
                assert record["status"] == Status.DUPLICATE
                instead = (place[0], record["instead"]["partition"], record["instead"]["offset"])
                assert instead in used
                assert who[instead] == who[place]


@EXAMPLES
@given(stream=event_streams())
def test_versions_that_do_not_hold_are_superseded_or_duplicates(stream: list[Event]) -> None:
    tables = lake(stream)
    rows = expected("silver.products", assemble(stream).events).to_dicts()
    found = [records(tables, "silver.products", row) for row in rows]
    told = pl.concat([pl.DataFrame(schema=RECORDS), *found])
    assert told.height == sum(e.topic == "shop.products" for e in stream)
    assert told.filter(status=Status.COUNTED).height == len(rows)
    assert set(told["status"]) <= {Status.COUNTED, Status.DUPLICATE, Status.SUPERSEDED}


@EXAMPLES
@given(stream=event_streams())
def test_what_silver_has_not_read_waits(stream: list[Event]) -> None:
    half = len(stream) // 2
    tables = dict(lake(stream[:half])) | {
        name: rows for name, rows in lake(stream).items() if name.startswith("bronze.")
    }
    late = {(e.partition, e.offset) for e in assemble(stream).events.purchases} - {
        (e.partition, e.offset) for e in assemble(stream[:half]).events.purchases
    }
    waiting: set[tuple[int, int]] = set()
    for row in expected("gold.region_revenue_daily", assemble(stream).events).to_dicts():
        found = records(tables, "gold.region_revenue_daily", row).filter(status=Status.WAITING)
        waiting |= set(found.select("partition", "offset").rows())
    assert waiting == late


@EXAMPLES
@given(stream=event_streams(min_size=1))
def test_lateness_is_that_of_the_log(stream: list[Event]) -> None:
    tables = lake(stream)
    watermarks: dict[int, PartitionWatermark] = {}
    clicks = sorted((e for e in stream if e.topic == "shop.clicks"), key=lambda e: (e.partition, e.offset))
    due = {
        (e.partition, e.offset): watermarks.setdefault(e.partition, PartitionWatermark()).observe(e.event_time)
        for e in clicks
    }
    for row in expected("silver.sessions", assemble(stream).events).to_dicts():
        found = with_lateness(records(tables, "silver.sessions", row), tables["bronze.clicks"])
        for partition, offset, lateness in found.select("partition", "offset", "lateness").iter_rows():
            assert lateness == due[partition, offset]
