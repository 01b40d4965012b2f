"""A change set swapped in by the tables' owner, where silver has changed since it was computed: copies of its events
have come, from lower positions and from higher ones. In the end everything is the reference's.
"""

from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from pyspark.sql import SparkSession

from jobs.batch.replay.compare import difference
from jobs.spark_session import build_session
from jobs.streaming.spark.change_sets import Application
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.contracts.graph import EVENT_TABLES, REFRESHED
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, create_table, open_table, replace_all
from lakehouse.delta.write import to_arrow
from lakehouse.replay import store
from lakehouse.replay.change_set import ChangeSet, Part, contracts_of
from lakehouse.replay.staging import Staging
from lakehouse.replay.store import Handed, Kind, Replay
from lakehouse.semantics import Event, Events
from lakehouse.settings import Settings
from tests.lake import expected, fill, stored
from tests.strategies import click, product, purchase, transaction

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

DAY = date(2024, 3, 1)
WINDOWS = "gold.product_metrics_5m"
VERSIONS = [product("mug", "00:00"), product("pan", "00:00", "garden")]
COMPARED = [name for name in (*EVENT_TABLES, *REFRESHED) if name not in ("silver.products", "silver.profiles")]


def each(user: str, clock: str, product_id: str, position: tuple[int, int], region: str = "north") -> list[Event]:
    """A click, a purchase and a transaction with ids of their own, at one position of their topics."""
    partition, offset = position
    at = {"partition": partition, "offset": offset}
    return [
        click(user, clock, product_id, event_id=f"{user}'s click", **at),
        purchase(user, clock, product_id, region=region, cents=offset, event_id=f"{user}'s purchase", **at),
        transaction(user, clock, cents=offset, event_id=f"{user}'s transaction", **at),
    ]


BYSTANDERS = [
    *each("zoe", "10:01", "mug", (0, 5)),
    *each("kim", "10:03", "pan", (1, 10)),
    *each("max", "10:04", "mug", (3, 52)),
]
ANA, ANA_LOWER = each("ana", "10:00", "mug", (3, 50)), each("ana", "10:00", "pan", (1, 11), "south")
BO, BO_LATER = each("bo", "10:02", "mug", (3, 51)), each("bo", "10:02", "pan", (3, 60), "south")

AT_THE_LOOK = [*BYSTANDERS, *ANA]
"""What silver holds: Bo's events were lost."""
RECOMPUTED = [*BYSTANDERS, *ANA, *BO]
"""What bronze holds up to the offsets of that silver."""
MEANWHILE = [*BYSTANDERS, *ANA_LOWER, *BO_LATER]
"""What the stream makes of the copies that come then: Ana's first one is displaced, and of Bo it knew nothing."""
RIGHT = [*BYSTANDERS, *ANA_LOWER, *BO]
LEARNT = product("mug", "10:01:30", "office")
"""A version that is learnt meanwhile, and valid for some of the events."""
BOUNDS = {topic: {0: 5, 1: 10, 3: 52} for topic in ("shop.clicks", "shop.purchases", "shop.transactions")}


@pytest.fixture(scope="module")
def spark(stack: "Stack") -> Iterator[SparkSession]:
    session = build_session(stack.ensure("minio", "postgres"), "change sets")
    yield session
    session.stop()


def holds(settings: Settings, events: list[Event], *names: str) -> None:
    """Lets the tables hold what follows from `events`."""
    for name in names:
        rows = expected(name, Events.of([*VERSIONS, *events]))
        replace_all(settings, name, to_arrow(name, rows), Once.new("test"))


def computed_then(settings: Settings, events: list[Event], *repaired: str) -> ChangeSet:
    """What a replay has computed of the tables `repaired` from `events`, before silver got the copies."""
    fill(settings, Events.of(VERSIONS), "silver.products")
    for name in JOBS[SPARK_INGEST].writes:
        create_table(settings, name)
    holds(settings, AT_THE_LOOK, *COMPARED)
    silver = {name: int(open_table(settings, name).version()) for name in (*EVENT_TABLES, "silver.products")}
    staging = Staging(settings, 1)
    for name in repaired:
        staging.create(name)
        staging.append(name, expected(name, Events.of([*VERSIONS, *events])))
    parts = tuple(Part(name, staging.path(name, "s3a"), staging.version(name), (DAY,)) for name in repaired)
    holds(settings, [*MEANWHILE, LEARNT], *COMPARED, "silver.products")
    return ChangeSet("replay 1", parts, silver, BOUNDS, contracts_of(repaired))


def differing(settings: Settings, events: list[Event]) -> dict[str, list[object]]:
    """By table, its rows that are not the reference's, and the reference's that it has not."""
    found = {}
    for name in COMPARED:
        columns = list(table(name).compared_columns)
        there, right = (
            rows.select(columns) for rows in (stored(settings, name), expected(name, Events.of([*VERSIONS, *events])))
        )
        if not there.equals(right):
            rows = (a.join(b, columns, "anti", nulls_equal=True) for a, b in ((there, right), (right, there)))
            found[name] = [there.height, right.height, *(each.to_dicts() for each in rows)]
    return found


@pytest.mark.parametrize("name", EVENT_TABLES)
def test_an_event_that_was_displaced_since_the_look_is_no_difference(stack, name):
    """What silver had lost is one, though a copy has come: the first of its records counts."""
    settings = stack.ensure("minio", "postgres").model_copy(update={"namespace": f"compared_{name[7:]}"})
    change = computed_then(settings, RECOMPUTED, name)
    (part,) = change.parts
    staged = {name: {"path": part.path, "version": part.version}}
    recomputed = {"staged": staged, "bounds": BOUNDS, "pinned": change.silver}
    found = difference(settings, cast(Replay, SimpleNamespace(id=1, recomputed=recomputed)), name, [DAY])
    assert (found.added, found.removed, found.changed) == (1, 0, 0)
    assert {example.key["user_id"] for example in found.examples} == {"bo"}


def test_copies_that_come_between_look_and_swap_double_nothing(stack, spark, monkeypatch):
    """Its owner is killed, too, when silver is repaired and the other tables are not."""
    settings = stack.settings.model_copy(update={"namespace": "changed"})
    store.newest_first(settings)
    change = computed_then(settings, RECOMPUTED, *EVENT_TABLES, WINDOWS)
    tables = DeltaTables(spark, settings)
    before = {
        "versions": {part.table: tables.version(part.table) for part in change.parts},
        "silver": {name: tables.version(name) for name in (*EVENT_TABLES, "silver.products")},
    }
    handed = Handed(1, Kind.SWAP, {}, "waiting", 1, before, None)
    with monkeypatch.context() as dying:
        dying.setattr(Application, "_changed", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Application(tables, change, handed).run()
    assert differing(settings, [*RIGHT, LEARNT]).keys().isdisjoint(EVENT_TABLES)
    Application(tables, change, handed).run()
    assert differing(settings, [*RIGHT, LEARNT]) == {}
