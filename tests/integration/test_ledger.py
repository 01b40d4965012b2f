"""The ledger on real Kafka and Delta: clean when all is right; one record altered, dropped or doubled behind its back
is named, where it happened and only there."""

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import polars as pl
import pytest

from lakehouse.compare.reference import Reference
from lakehouse.delta import open_table, scan
from lakehouse.drained import kafka_ends
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.kafka.topics import create_topics
from lakehouse.ledger import DERIVED, ROUTES, Audit, Kind, NothingToAuditError, audit
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValues
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.reference_lake import changed, encoded, fill, live
from tests.strategies import click, impression, product, profile, purchase, transaction
from tests.topics import remove_records
from tests.transactions import Transactions

pytestmark = pytest.mark.stack

STREAM = [
    product("mug", "08:00"),
    product("mug", "09:00", "garden"),
    product("mug", "09:00", "kitchen"),  # supersedes the one before
    product("pan", "08:00"),
    profile("ana", "07:00"),
    profile("bo", "07:30"),
    profile("ana", "07:00", "old"),
    *(impression(user, f"10:{minute:02}", event_id=f"i{minute}") for minute in range(20) for user in ("ana", "cem")),
    *(click("bo", "10:01", event_id=f"c{i}") for i in range(11)),
    *(click("bo", "10:01", event_id=f"c{i}") for i in (3, 3, 5)),
    impression("dana", "11:00", None),
    impression("dana", "11:40", None),
    click("ana", "11:00", "pan"),
    *(purchase(user, f"11:{minute:02}", "pan") for minute in range(0, 20, 3) for user in ("ana", "bo", "cem")),
    purchase("bo", "12:00", region="süd", event_id="twice"),
    purchase("bo", "12:00", region="süd", event_id="twice"),
    purchase("ana", "23:58"),
    purchase("bo", "00:03"),
    *(impression("flo", "15:01", "cup", event_id=f"f{i}") for i in range(20)),
    *(click("flo", "15:02", "cup", event_id=f"g{i}") for i in range(12)),
    *(transaction("gus", f"16:{minute:02}") for minute in range(12)),
    *(impression("eve", f"{hour}:{minute:02}") for hour in range(19, 25) for minute in (0, 20, 40)),
]
BROKEN: list[Outgoing] = [
    ("shop.clicks", b"ana", b"{"),
    ("shop.clicks", b"bo", b"[]"),
    ("shop.purchases", b"ana", None),
    ("shop.products", None, b"\xff"),
    ("shop.profiles", b"cem", b'{"event_id": "p"}'),
]
RECORDS_SENT = sum(event.topic in ROUTES for event in STREAM) + len(BROKEN)
BRONZE = [route.bronze for route in ROUTES.values()]
SILVER = [route.silver for route in ROUTES.values()]
DERIVED_TABLES = [name for name, derived in DERIVED.items() if not derived.live]
RECORDS = [*BRONZE, "bronze.dead_letters", *SILVER]
PAYLOAD = {name: route.payload for route in ROUTES.values() for name in (route.bronze, route.silver)} | {
    "bronze.dead_letters": ("reason", "field")
}

Rows = pl.DataFrame
Tamper = Callable[[str, Rows, int], Rows]
"""Given a table's name, its rows and which one to break."""


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    own = stack.ensure("kafka", "minio", "valkey").model_copy(update={"namespace": "ledger"})
    fill(own, STREAM, BROKEN)
    return own


@pytest.fixture
def draw(seed: int, request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{seed}/{request.node.name}")


def named(result: Audit) -> set[tuple[str, str, str | None, int | None, tuple[int, ...], tuple[str, ...]]]:
    return {(f.kind, f.layer, f.topic, f.partition, f.offsets, f.keys) for f in result.findings}


def at(kind: Kind, name: str, row: dict[str, object]) -> tuple[object, ...]:
    return kind, name, row["topic"], row["partition"], (row["offset"],), ()


def rows_of(chosen: dict[str, dict[str, object]], kind: Kind) -> set[tuple[object, ...]]:
    return {at(kind, name, row) for name, row in chosen.items()}


def test_all_that_is_right_is_clean(settings: Settings) -> None:
    result = audit(settings)
    assert result.findings == ()
    assert result.verdict == "0 lost, 0 doubled, 0 altered"
    assert sum(result.records.values()) == RECORDS_SENT
    accounts = {account.topic: account for account in result.accounts}
    assert set(accounts) == set(ROUTES)
    for topic, account in accounts.items():
        assert account.kafka == sum(result.ends[topic].values())
        assert account.kafka == account.bronze + account.dead_letters
        assert account.bronze == account.silver + account.duplicate + account.superseded
    assert accounts["shop.clicks"].duplicate == 3
    assert accounts["shop.purchases"].duplicate == 1
    assert accounts["shop.products"].superseded == accounts["shop.profiles"].superseded == 1


def test_a_later_audit_reads_only_what_is_new(settings: Settings) -> None:
    audit(settings)
    assert audit(settings).read == 0
    whole = audit(settings, full=True)
    assert (whole.read, whole.clean) == (RECORDS_SENT, True)


def broken(settings: Settings, draw: random.Random, tamper: Tamper) -> tuple[Audit, dict[str, dict[str, object]]]:
    """An audit after one row of each table was tampered with; and these rows as they were."""
    chosen: dict[str, dict[str, object]] = {}

    def break_one(name: str, rows: Rows) -> Rows:
        # Of a record that is broken in bronze already, silver is not looked at: each table its own.
        untouched = [i for i, row in enumerate(rows.iter_rows(named=True)) if position(row) not in taken]
        index = draw.choice(untouched)
        chosen[name] = rows.row(index, named=True)
        taken.add(position(chosen[name]))
        return tamper(name, rows, index)

    taken: set[tuple[object, ...]] = set()
    with ExitStack() as stack:
        for name in RECORDS:
            stack.enter_context(changed(settings, name, partial(break_one, name)))
        return audit(settings), chosen


def position(row: dict[str, object]) -> tuple[object, ...]:
    return row["topic"], row["partition"], row["offset"]


def test_a_dropped_row_of_each_layer_is_lost_where_it_was_dropped(settings: Settings, draw: random.Random) -> None:
    result, chosen = broken(settings, draw, lambda _, rows, i: pl.concat([rows[:i], rows[i + 1 :]]))
    assert named(result) == rows_of(chosen, Kind.LOST)


def test_a_doubled_row_of_each_layer_is_doubled_where_it_was_doubled(settings: Settings, draw: random.Random) -> None:
    result, chosen = broken(settings, draw, lambda _, rows, i: pl.concat([rows, rows[i : i + 1]]))
    assert named(result) == rows_of(chosen, Kind.DOUBLED)


@pytest.mark.parametrize("column", ["record_hash", "value", "payload"])
def test_an_altered_row_of_each_layer_is_altered_where_it_was_altered(
    settings: Settings, column: str, draw: random.Random
) -> None:
    def alter(table_name: str, rows: Rows, index: int) -> Rows:
        name = column if column in rows.columns else draw.choice(PAYLOAD[table_name])
        kind = rows.schema[name]
        other: pl.Expr = pl.lit("other" if kind == pl.String else b"other")
        if kind == pl.Int64:
            other = pl.col(name) + 1
        elif isinstance(kind, pl.Datetime):
            other = pl.col(name) + pl.duration(milliseconds=1)
        here = pl.int_range(pl.len()) == index
        return rows.with_columns(pl.when(here).then(other).otherwise(pl.col(name)).cast(kind).alias(name))

    result, chosen = broken(settings, draw, alter)
    assert named(result) == rows_of(chosen, Kind.ALTERED)


def broken_rows(settings: Settings, draw: random.Random, tamper: Tamper) -> tuple[Audit, set[tuple[object, ...]]]:
    """An audit after one row of each derived table was tampered with; and where, but for the kind."""
    chosen: set[tuple[object, ...]] = set()

    def break_one(name: str, rows: Rows) -> Rows:
        index = draw.randrange(rows.height)
        chosen.add((name, None, None, (), (key_text(name, rows.row(index, named=True)),)))
        return tamper(name, rows, index)

    with ExitStack() as stack:
        for name in DERIVED_TABLES:
            stack.enter_context(changed(settings, name, partial(break_one, name)))
        return audit(settings), chosen


def key_text(name: str, row: Mapping[str, Any]) -> str:
    values = {n: row[n] for n in DERIVED[name].key}
    return ", ".join(f"{n}={v if isinstance(v, str | int | None) else v.isoformat()}" for n, v in values.items())


def test_a_dropped_row_of_each_derived_table_is_lost(settings: Settings, draw: random.Random) -> None:
    result, chosen = broken_rows(settings, draw, lambda _, rows, i: pl.concat([rows[:i], rows[i + 1 :]]))
    assert named(result) == {(Kind.LOST, *where) for where in chosen}


def test_a_doubled_row_of_each_derived_table_is_doubled(settings: Settings, draw: random.Random) -> None:
    result, chosen = broken_rows(settings, draw, lambda _, rows, i: pl.concat([rows, rows[i : i + 1]]))
    assert named(result) == {(Kind.DOUBLED, *where) for where in chosen}


@pytest.mark.parametrize("column", ["events", "fingerprint", "measure"])
def test_an_altered_row_of_each_derived_table_is_altered(settings: Settings, column: str, draw: random.Random) -> None:
    def alter(name: str, rows: Rows, index: int) -> Rows:
        chosen = draw.choice(DERIVED[name].measures or ("events",)) if column == "measure" else column
        more = pl.col(chosen) + (pl.int_range(pl.len()) == index).cast(pl.Int64)
        return rows.with_columns(more.cast(rows.schema[chosen]).alias(chosen))

    result, chosen = broken_rows(settings, draw, alter)
    assert named(result) == {(Kind.ALTERED, *where) for where in chosen}


@pytest.mark.parametrize("name", [PRODUCT_METRICS, CURRENT_SESSIONS])
def test_a_value_in_redis_is_named(settings: Settings, name: str, draw: random.Random) -> None:
    reference, values = Reference.read(settings, kafka_ends(settings)), LiveValues(settings)
    rows = list(reference.current_sessions() if name == CURRENT_SESSIONS else reference.rows("gold.product_metrics_5m"))
    dropped, altered = draw.sample(rows, 2)
    owner = "user_id" if name == CURRENT_SESSIONS else "product_id"
    ghost = dropped | {owner: "ghost"}
    values.replace([live(name, dropped)._replace(row=live(name, dropped | {"events": 0}).row)], {})
    values.replace([live(name, altered)._replace(row=live(name, altered | {"fingerprint": 1}).row)], {})
    values.replace([live(name, ghost)], {})
    try:
        found = {f.kind: f.keys for f in audit(settings).findings if f.layer == f"redis.{name}"}
    finally:
        values.replace([live(name, dropped), live(name, altered)], {})
        values.replace([live(name, ghost | {"events": 0})._replace(seq=ghost["events"] + 1)], {})
    wanted = {Kind.LOST: dropped, Kind.ALTERED: altered, Kind.DOUBLED: ghost}
    assert set(found) == set(wanted)
    for kind, row in wanted.items():
        (key,) = found[kind]
        assert key.startswith(f"{owner}={row[owner]}")


@pytest.mark.parametrize("name", ["silver.clicks", "silver.products"])
def test_a_record_that_silver_must_leave_out_is_doubled(settings: Settings, name: str) -> None:
    bronze = scan(settings, name.replace("silver", "bronze")).collect()
    silver = scan(settings, name).collect()
    extra = bronze.join(silver, on=["partition", "offset"], how="anti")[:1]
    (row,) = extra.to_dicts()

    def add(rows: Rows) -> Rows:
        like = {c: extra[c] for c in extra.columns if c in rows.columns}
        return pl.concat([rows, rows[:1].with_columns(**like)])

    with changed(settings, name, add):
        assert named(audit(settings)) == {at(Kind.DOUBLED, name, row)}


def test_a_row_at_an_offset_that_kafka_never_had_is_doubled(settings: Settings) -> None:
    def add(rows: Rows) -> Rows:
        return pl.concat([rows, rows[:1].with_columns(offset=pl.lit(1_000_000, pl.Int64))])

    with changed(settings, "silver.purchases", add):
        (found,) = audit(settings).findings
    assert (found.kind, found.layer, found.offsets) == (Kind.DOUBLED, "silver.purchases", (1_000_000,))


def test_findings_are_written_to_the_ledger(settings: Settings) -> None:
    with changed(settings, "silver.purchases", lambda rows: rows[1:]):
        result = audit(settings)
    rows = scan(settings, "ops.ledger").filter(pl.col("run_id") == result.run_id).collect()
    wrong = rows.filter((pl.col("lost") + pl.col("doubled") + pl.col("altered")) > 0, layer="silver")
    assert wrong.filter(table="silver.purchases").select("lost", "doubled", "altered").rows() == [(1, 0, 0)]
    assert wrong["named"].str.contains("lost in silver.purchases").all()


def test_a_tenant_without_records_is_not_called_clean(stack: Stack) -> None:
    empty = stack.ensure("kafka", "minio").model_copy(update={"namespace": "ledger_empty"})
    create_topics(empty)
    with pytest.raises(NothingToAuditError):
        audit(empty)


def test_a_record_that_only_kafka_has_is_lost_in_bronze_and_named_once(settings: Settings) -> None:
    before = kafka_ends(settings)
    with Sender(settings) as sender:
        sender.send([encoded(profile("eve", "07:00"))])
    after = kafka_ends(settings)
    ((partition, offset),) = {
        (p, end - 1) for p, end in after["shop.profiles"].items() if end != before["shop.profiles"][p]
    }
    assert audit(settings, before).clean
    lost = {"topic": "shop.profiles", "partition": partition, "offset": offset}
    assert named(audit(settings)) == {at(Kind.LOST, "bronze.profiles", lost)}


def test_what_a_transaction_commits_is_audited_from_then_on(stack: Stack) -> None:
    own = stack.ensure("kafka", "minio").model_copy(update={"namespace": "ledger_transactions"})
    create_topics(own)
    transactions = Transactions(own, "shop.purchases")
    value = encoded(purchase("ana", "11:00"))[2] or b""
    transactions.commit(value, key=b"ana")
    with transactions.open(value, key=b"ana"):
        with Sender(own) as sender:
            sender.send([encoded(purchase("ana", "11:30"))])
        assert audit(own, live=False).count(Kind.LOST) == 1  # no table has it
    assert audit(own, live=False).count(Kind.LOST) == 3
    transactions.abort(value, key=b"ana")
    assert audit(own, live=False).count(Kind.LOST) == 3


def test_what_retention_removed_is_audited_by_what_was_recorded(settings: Settings, draw: random.Random) -> None:
    topic, name = "shop.purchases", "bronze.purchases"
    audit(settings)
    remove_records(settings, topic, kafka_ends(settings)[topic])
    known = named(audit(settings))
    with changed(settings, name, lambda rows: rows[1:]):
        dropped = (
            scan(settings, name, version=int(open_table(settings, name).version()) - 1).collect().row(0, named=True)
        )
        assert named(audit(settings)) - known == {at(Kind.LOST, name, dropped)}
    with changed(settings, name, lambda rows: rows.with_columns(record_hash=pl.col("record_hash").reverse())):
        found = {f.kind for f in audit(settings).findings if f.layer == name}
        assert found == {Kind.ALTERED}
