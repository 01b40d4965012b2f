"""A cut has what the topics held up to one end, and nothing of a checkpoint that some table got later.

What Flink, Kafka and PostgreSQL say is set here, to be at the moments in question; tests/faults has all of them.
"""

import random
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from jobs.follower import cuts as cuts_of_follower
from jobs.follower.cuts import Cuts
from jobs.follower.cycle import Follower
from jobs.follower.lake import Lake
from lakehouse.contracts.events import CLICKS, EVENTS, PURCHASES
from lakehouse.contracts.tables import BRONZE, FOLLOWED
from lakehouse.cuts import Cut, newest_cut
from lakehouse.delta import Once, append, create_table
from lakehouse.delta.maintenance import compact
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings
from tests.refreshed import bronze
from tests.strategies import random_stream


@dataclass
class World:
    completed: int = 0
    generation: int = 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    told = {
        "latest_checkpoints": lambda *_: {"completed": {"id": world.completed}},
        "wanted_state": lambda *_: SimpleNamespace(generation=world.generation),
        "topic_ids": lambda _settings, topics: dict.fromkeys(topics, "id"),
        "partition_counts": lambda settings: {settings.prefixed(topic): 1 for topic in EVENTS},
    }
    for name, answer in told.items():
        monkeypatch.setattr(cuts_of_follower, name, answer)
    return world


@pytest.fixture
def cuts(lake: Settings) -> Cuts:
    for name in BRONZE:
        create_table(lake, name)
    return Cuts(Follower(Lake(lake, FOLLOWED)), every_seconds=0)


def ingest(lake: Settings, seed: int, checkpoint: int, topic: str, end: int, generation: int = 1) -> None:
    """Commits some rows as the checkpoint does, `end` as where they end."""
    name = f"bronze.{EVENTS[topic].table}"
    rows = bronze(name, random_stream(random.Random(seed + checkpoint), 20))
    said = {f"checkpoint/ingest@{generation}": checkpoint, f"read/{topic}@id/0": end}
    append(lake, name, to_arrow(name, rows), Once(f"flink-{topic}-{generation}", checkpoint, positions=said))


def cycle(cuts: Cuts) -> bool:
    cuts.before_cycle()
    cuts.follower.cycle()
    return cuts.after_cycle()


def recorded(lake: Settings) -> Cut:
    cut = newest_cut(lake)
    assert cut
    return cut


def test_a_cut_is_recorded_once_a_later_checkpoint_is_complete(
    lake: Settings, cuts: Cuts, world: World, seed: int
) -> None:
    ingest(lake, seed, 1, CLICKS.topic, 40)
    ingest(lake, seed, 1, PURCHASES.topic, 7)
    world.completed = 1
    assert not cycle(cuts)
    ingest(lake, seed, 2, CLICKS.topic, 55)
    assert not cycle(cuts)
    assert newest_cut(lake) is None
    world.completed = 2
    assert cycle(cuts)
    cut = recorded(lake)
    assert (cut.checkpoint, cut.ends[CLICKS.topic], cut.ends[PURCHASES.topic]) == (1, {0: 40}, {0: 7})
    assert (cut.versions["bronze.clicks"], cut.versions["bronze.purchases"]) == (1, 1)
    assert cut.covers({CLICKS.topic: {0: 40}})
    assert not cut.covers({CLICKS.topic: {0: 41}})


def test_what_a_table_gets_of_the_checkpoint_after_it_was_noted_makes_it_void(
    lake: Settings, cuts: Cuts, world: World, seed: int
) -> None:
    ingest(lake, seed, 1, CLICKS.topic, 40)
    assert not cycle(cuts)
    ingest(lake, seed, 1, PURCHASES.topic, 7)
    world.completed = 2
    assert not cuts.after_cycle()
    assert newest_cut(lake) is None
    assert cycle(cuts)
    assert recorded(lake).ends[PURCHASES.topic] == {0: 7}


def test_files_put_together_after_it_was_noted_do_not(lake: Settings, cuts: Cuts, world: World, seed: int) -> None:
    for checkpoint in (1, 2):
        ingest(lake, seed, checkpoint, CLICKS.topic, 40 * checkpoint)
    assert not cycle(cuts)
    compact(lake, "bronze.clicks")
    ingest(lake, seed, 3, CLICKS.topic, 120)
    world.completed = 3
    assert cycle(cuts)
    assert recorded(lake).ends[CLICKS.topic] == {0: 80}


def test_new_state_of_ingest_makes_what_was_noted_void(lake: Settings, cuts: Cuts, world: World, seed: int) -> None:
    ingest(lake, seed, 9, CLICKS.topic, 40)
    assert not cycle(cuts)
    world.generation, world.completed = 2, 3
    ingest(lake, seed, 2, CLICKS.topic, 50, generation=2)
    assert not cycle(cuts)
    assert cycle(cuts)
    assert (recorded(lake).checkpoint, recorded(lake).ends[CLICKS.topic]) == (2, {0: 50})
