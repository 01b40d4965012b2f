"""Wherever Lambda's cut lies, batch and speed layer merged equal the reference over the whole log."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from jobs.rust_engines.lambda_serving import merged
from jobs.streaming.lambda_speed.main import SpeedLayer
from jobs.streaming.lambda_speed.seed import Seed
from lakehouse.contracts.tables import LAMBDA_EVENTS, LAMBDA_METRICS, table
from lakehouse.delta.write import to_arrow
from lakehouse.lambda_layers import TOPICS, batch_table, speed_table
from lakehouse.semantics import Click, Event, Events, Purchase
from lakehouse.semantics.events import key_of
from lakehouse.semantics.log import assemble
from lakehouse.semantics.reference import METRICS
from lakehouse.semantics.windows import HOUR, utc_date
from tests.lake import frame
from tests.strategies import click, event_streams, moved, purchase


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Clicks and purchases as they lie in the log; at times a foreign producer has chosen the partition."""
    offsets: dict[tuple[str, int], int] = {}
    log = []
    for event in draw(event_streams()):
        if isinstance(event, Click | Purchase):
            partition = draw(st.sampled_from([len(key_of(event)) % 2] * 3 + [0, 1]))
            offset = offsets.get((event.topic, partition), 0)
            offsets[event.topic, partition] = offset + 1
            log.append(moved(event, offset, partition))
    return log


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


def reference(metric: str, events: Events) -> pl.DataFrame:
    return frame(batch_table(metric), METRICS[LAMBDA_METRICS[metric]].compute(events))


def records(events: list[Event]) -> pl.DataFrame:
    """As both layers keep them."""
    columns = LAMBDA_EVENTS.column_names
    rows = [e._asdict() | {"event_date": utc_date(e.event_time)} for e in events]
    return frame(LAMBDA_EVENTS.name, [{name: row.get(name) for name in columns} for row in rows])


def layers(folder: Path, log: list[Event], cut: Mapping[str, Mapping[int, int]]) -> dict[str, pl.DataFrame]:
    """The serving views after a batch run up to `cut` and a speed layer that has read the rest."""
    before = [e for e in log if e.offset < cut[e.topic].get(e.partition, 0)]
    counted = assemble(before).events
    batch = {metric: reference(metric, counted) for metric in LAMBDA_METRICS}
    seed = Seed.of(records([*counted.clicks, *counted.purchases]).lazy(), batch["sessions"].lazy())
    speed = SpeedLayer(seed, cut)
    after = [e for e in log if e.offset >= cut[e.topic].get(e.partition, 0)]
    for start in range(0, len(after), 7):
        some = after[start : start + 7]
        speed.add(records(some), [(e.topic, e.partition, e.offset + 1) for e in some])
    rows = speed.rows()
    views = {}
    for metric in LAMBDA_METRICS:
        opened = []
        for name, content in ((batch_table(metric), batch[metric]), (speed_table(metric), rows[metric])):
            write_deltalake(folder / name, to_arrow(name, content), mode="overwrite")
            opened.append(DeltaTable(folder / name))
        views[metric] = merged(metric, *opened)
    return views


def assert_served(folder: Path, log: list[Event], cut: Mapping[str, Mapping[int, int]]) -> None:
    events = assemble(log).events
    for metric, served in layers(folder, log, cut).items():
        key = table(batch_table(metric)).key
        expected = reference(metric, events)
        assert_frame_equal(served.sort(key), expected.sort(key), check_column_order=False)


@settings(max_examples=60, deadline=None)
@given(log=logs(), data=st.data())
def test_batch_and_speed_layer_merged_equal_the_reference(folder: Path, log: list[Event], data: st.DataObject) -> None:
    ends: dict[str, dict[int, int]] = {topic: {} for topic in TOPICS}
    for event in log:
        ends[event.topic][event.partition] = event.offset + 1
    cut = {t: {p: data.draw(st.integers(0, end)) for p, end in partitions.items()} for t, partitions in ends.items()}
    assert_served(folder, log, cut)


def test_an_event_older_than_what_is_handed_over_is_looked_up(folder: Path) -> None:
    """Three days late: a duplicate that counts no more, and a click that joins two sessions of the batch layer."""
    log: list[Event] = [
        click("ana", "10:00", event_id="a", offset=0),
        click("ana", "10:40", event_id="b", offset=1),
        purchase("ana", "10:01", event_id="p", offset=0),
        click("ana", "82:00", event_id="c", offset=2),
        click("ana", "10:00", event_id="a", offset=3),
        click("ana", "10:20", event_id="d", offset=4),
        purchase("ana", "10:01", event_id="p", offset=1),
    ]
    assert log[3].event_time - log[1].event_time > 24 * HOUR
    views = layers(folder, log, {"shop.clicks": {0: 3}, "shop.purchases": {0: 1}})
    assert sorted(views["sessions"]["events"]) == [1, 3]
    assert views["region_revenue_daily"]["purchases"].to_list() == [1]
    assert_served(folder, log, {"shop.clicks": {0: 3}, "shop.purchases": {0: 1}})


def test_a_record_that_a_lower_partition_displaces_is_taken_back(folder: Path) -> None:
    log: list[Event] = [
        click("ana", "10:00", "mug", event_id="a", offset=0, partition=1),
        click("ana", "10:00", "cup", event_id="a", offset=0, partition=0),
    ]
    cut = {"shop.clicks": {0: 0, 1: 1}, "shop.purchases": {}}
    assert layers(folder, log, cut)["product_metrics_5m"]["product_id"].to_list() == ["cup"]
    assert_served(folder, log, cut)


@pytest.mark.parametrize(("clock", "sessions"), [("10:30", 2), ("10:29:59.999", 1), ("09:30", 2), ("09:30:00.001", 1)])
def test_a_session_goes_on_across_the_cut_within_the_gap(folder: Path, clock: str, sessions: int) -> None:
    log: list[Event] = [click("ana", "10:00", offset=0), click("ana", clock, offset=1)]
    cut = {"shop.clicks": {0: 1}, "shop.purchases": {}}
    assert layers(folder, log, cut)["sessions"].height == sessions
    assert_served(folder, log, cut)
