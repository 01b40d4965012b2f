"""The follower's silver and gold are the reference's rows, whatever order records come in and wherever it is killed."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobs.follower import cycle, events
from jobs.follower.cycle import Follower
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.delta import Once, open_table, replace_all
from lakehouse.delta.maintenance import compact, vacuum
from lakehouse.delta.notes import Asked
from lakehouse.delta.restore import restore
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Event
from lakehouse.settings import Settings
from tests.following import BRONZE, KilledError, Kills, assert_equal, assert_settled, follower, write
from tests.lake import keep_nothing
from tests.refreshed import bronze
from tests.strategies import moved, random_stream

NOTE = Asked(job="test", scope="test")


def in_lots(
    lake: Settings, stream: list[Event], draw: random.Random, kills: Kills, sizes: range, compacts: float, dies: float
) -> Iterator[tuple[Follower, bool]]:
    """Sends the stream in lots with a cycle after each, and tells of each who follows now, and whether one was killed.

    `compacts`, `dies`: how often a table of bronze is compacted, and a commit is drawn at which the follower is to die.
    """
    running, sent = follower(lake), 0
    while sent < len(stream):
        size = draw.choice(sizes)
        write(lake, stream[sent : sent + size])
        sent += size
        if draw.random() < compacts:
            compact(lake, draw.choice(BRONZE))
        kills.clear()
        if draw.random() < dies:
            kills[draw.choice(["before", "after"])] = draw.randrange(1, 15)
        try:
            running.cycle()
        except KilledError:
            running = follower(lake)
            yield running, True
        else:
            yield running, False


def test_it_makes_the_reference_s_rows_of_a_stream_in_batches_under_kills(
    lake: Settings, seed: int, kills: Kills
) -> None:
    draw = random.Random(seed)
    stream = random_stream(draw, 250)
    lots = list(in_lots(lake, stream, draw, kills, range(20, 80), compacts=0.3, dies=0.8))
    assert_settled(lots[-1][0], kills)
    assert_equal(lake, stream)
    assert any(killed for _, killed in lots)


def test_what_is_late_waits_where_it_costs_much_and_is_in_all_tables_in_the_end(
    lake: Settings, seed: int, kills: Kills, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle, "CHEAP", -1.0)
    monkeypatch.setattr(cycle, "WAIT_PER_CPU_SECOND", 1e9)
    monkeypatch.setattr(cycle, "LONGEST_WAIT", 1e9)
    monkeypatch.setattr(events, "LATE", timedelta(minutes=20))
    draw = random.Random(seed)
    stream, waited = random_stream(draw, 250), 0
    for running, _ in in_lots(lake, stream, draw, kills, range(5, 30), compacts=0.2, dies=0.2):
        waits = [node for node in running.nodes.values() if isinstance(node, events.Events) and node.something_waits]
        assert not any(node.settled() for node in waits), "so that no cut is made"
        waited += len(waits)
    assert waited
    assert_settled(running, kills)
    assert_equal(lake, stream)


def test_copies_from_lower_positions_take_the_place_of_later_ones_until_they_are_gone(
    lake: Settings, seed: int
) -> None:
    draw = random.Random(seed)
    stream = [moved(event, event.offset + 1_000, event.partition + 1) for event in random_stream(draw, 200)]
    running = follower(lake)
    write(lake, stream)
    assert_settled(running, {})
    copies = [moved(event, event.offset - 1_000, 0) for event in draw.sample(stream, 60)]
    write(lake, copies)
    assert_settled(running, {})
    assert_equal(lake, [*stream, *copies])
    kept = draw.sample([*stream, *copies], 200)
    for name in BRONZE:
        replace_all(lake, name, to_arrow(name, bronze(name, kept)), Once.new("test"), NOTE)
    assert_settled(running, {})
    assert_equal(lake, kept)


def test_what_a_batch_had_and_bronze_lost_before_all_was_taken_is_gone(lake: Settings, seed: int) -> None:
    draw = random.Random(seed)
    stream = random_stream(draw, 260)
    running = follower(lake)
    write(lake, stream[:40])
    assert_settled(running, {})
    for start in range(40, len(stream), 20):  # each less than a batch
        write(lake, stream[start : start + 20])
    running.cycle()  # takes some of them
    kept = [event for event in stream if draw.random() < 0.8]
    for name in BRONZE:
        opened = open_table(lake, name)
        gone = bronze(name, stream).join(bronze(name, kept), ["partition", "offset"], "anti")
        places = [f'("partition" = {p} AND "offset" = {o})' for p, o in gone["partition", "offset"].iter_rows()]
        if places:
            opened.delete(" OR ".join(places))
    assert_settled(draw.choice([running, follower(lake)]), {})  # alive, or killed
    assert_equal(lake, kept)


def test_a_table_that_was_put_back_follows_again(lake: Settings, seed: int) -> None:
    stream, name = random_stream(random.Random(seed), 120), f"gold.region_revenue_5m{FOLLOWED}"
    write(lake, stream[:60])
    assert_settled(follower(lake), {})
    before = int(open_table(lake, name).version())
    write(lake, stream[60:])
    running = follower(lake)
    assert_settled(running, {})
    restore(lake, name, before)
    assert running.cycle(settle=True) > 0
    assert_settled(running, {})
    assert_equal(lake, stream)


def test_what_cannot_tell_what_changed_is_computed_anew(lake: Settings, seed: int) -> None:
    draw = random.Random(seed)
    stream = random_stream(draw, 200)
    write(lake, stream[:100])
    assert_settled(follower(lake), {})
    write(lake, stream[100:])
    for name in BRONZE:
        compact(lake, name)
        keep_nothing(lake, name)
        vacuum(lake, name)
    assert_settled(follower(lake), {})
    assert_equal(lake, stream)
