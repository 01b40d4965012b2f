"""The catalogue in a real PostgreSQL and its way into a real Kafka."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from infra.local.isolated import free_port_base
from lakehouse.catalog import refresh, seed_catalogue
from lakehouse.catalog.database import connect
from lakehouse.contracts.validation import Valid, validate
from lakehouse.generator.shop import PRODUCTS, PROFILES
from lakehouse.kafka.consumer import Record, end_offsets, read_partitions
from lakehouse.kafka.topics import create_topics
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.conftest import Stack

pytestmark = pytest.mark.stack
DAY = date(2026, 3, 2)


@pytest.fixture
def tenant(stack: Stack) -> Settings:
    settings = stack.ensure("kafka", "postgres").model_copy(update={"namespace": f"c{uuid.uuid4().hex[:10]}"})
    create_topics(settings)
    return settings


@pytest.fixture
def database(tenant: Settings) -> Iterator[psycopg.Connection]:
    with connect(tenant) as connection:
        connection.autocommit = True
        yield connection


def published(settings: Settings, topic: str) -> list[tuple[Record, Valid]]:
    read = [(r, validate(r.topic, r.key, r.value, r.arrival_ms)) for r in read_partitions(settings, topic)]
    return [(record, verdict) for record, verdict in read if isinstance(verdict, Valid)]


def add(database: psycopg.Connection, product: str, price: int = 100) -> None:
    database.execute("INSERT INTO products VALUES (%s, 'books', 'a brand', %s)", (product, price))


def versions(database: psycopg.Connection, product: str) -> list[tuple[int, datetime]]:
    query = "SELECT price_cents, valid_from FROM product_versions WHERE product_id = %s ORDER BY seq"
    return database.execute(query, (product,)).fetchall()


def test_seeding_gives_all_products_and_profiles_and_repeats_nothing(
    tenant: Settings, database: psycopg.Connection, seed: int
) -> None:
    first = seed_catalogue(tenant, seed, DAY)
    assert first.products > 1.05 * PRODUCTS
    assert first.profiles > 1.02 * PROFILES
    again = seed_catalogue(tenant, seed, DAY)
    assert (again.products, again.profiles) == (0, 0)
    late = seed_catalogue(tenant, seed, DAY, learnt_late=True)
    assert late.products > 20
    assert seed_catalogue(tenant, seed, DAY + timedelta(days=1)).products > 100
    assert seed_catalogue(tenant, seed, DAY).products == 0
    newest = """
        SELECT count(*) FROM products AS p WHERE p.valid_from <> (
            SELECT max(v.valid_from) FROM product_versions AS v WHERE v.product_id = p.product_id)
    """
    assert database.execute(newest).fetchone() == (0,)


def test_every_version_is_published_once(tenant: Settings, seed: int) -> None:
    seeded = seed_catalogue(tenant, seed, DAY)
    result = refresh(tenant)
    assert (result.products, result.profiles, result.repeated) == (seeded.products, seeded.profiles, 0)
    assert len(published(tenant, "shop.products")) == seeded.products
    assert len(published(tenant, "shop.profiles")) == seeded.profiles
    again = refresh(tenant)
    assert (again.products, again.profiles) == (0, 0)
    assert sum(end_offsets(tenant, "shop.products").values()) == seeded.products


def test_a_change_is_a_version_valid_from_when_it_was_made(tenant: Settings, database: psycopg.Connection) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    add(database, "p1")
    database.execute("UPDATE products SET price_cents = 200 WHERE product_id = 'p1'")
    (_, added), (price, changed) = versions(database, "p1")
    assert price == 200
    assert before <= added <= changed <= datetime.now(UTC) + timedelta(milliseconds=1)
    refresh(tenant)
    prices = [verdict.fields["price_cents"] for _, verdict in published(tenant, "shop.products")]
    assert prices == [100, 200], "versions of one key keep their order"


def test_a_change_may_say_from_when_it_is_valid(database: psycopg.Connection) -> None:
    add(database, "p1")
    since = datetime(2026, 3, 2, 12, tzinfo=UTC)
    database.execute("UPDATE products SET price_cents = 200, valid_from = %s WHERE product_id = 'p1'", (since,))
    assert versions(database, "p1")[-1] == (200, since)


def test_an_update_that_changes_nothing_is_no_version(database: psycopg.Connection) -> None:
    add(database, "p1")
    database.execute("UPDATE products SET price_cents = 100 WHERE product_id = 'p1'")
    assert len(versions(database, "p1")) == 1


def test_a_change_that_is_rolled_back_is_not_published(tenant: Settings, database: psycopg.Connection) -> None:
    with database.transaction(force_rollback=True):
        add(database, "p1")
    add(database, "p2")
    assert refresh(tenant).products == 1
    assert [record.key for record, _ in published(tenant, "shop.products")] == [b"p2"]


def test_a_version_committed_late_is_published_though_a_higher_number_went_before(
    tenant: Settings, database: psycopg.Connection
) -> None:
    with connect(tenant) as slow:
        add(slow, "slow")
        add(database, "quick")
        assert refresh(tenant).products == 1
        slow.commit()
    assert refresh(tenant).products == 1
    assert {record.key for record, _ in published(tenant, "shop.products")} == {b"slow", b"quick"}


@pytest.mark.parametrize("product", ["", "a\nb", "x" * 257])
def test_ids_that_no_event_may_carry_are_refused(database: psycopg.Connection, product: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        add(database, product)


def test_a_refresh_killed_between_sending_and_marking_sends_the_same_events_again(
    tenant: Settings, database: psycopg.Connection
) -> None:
    for number in range(50):
        add(database, f"p{number}")
    # The claim is made beforehand, and one row of the first batch is held: the refresh sends and can't mark.
    database.execute("UPDATE product_versions SET published_at = clock_timestamp()")
    program = (
        "from lakehouse.catalog import refresh; from lakehouse.settings import load_settings as s; refresh(s(), 20)"
    )
    with connect(tenant) as holder:
        holder.execute("SELECT 1 FROM product_versions ORDER BY seq LIMIT 1 FOR UPDATE")
        process = subprocess.Popen(
            [sys.executable, "-c", program], env=os.environ | {"LAKEHOUSE_NAMESPACE": tenant.namespace}
        )
        deadline = time.monotonic() + 60
        while sum(end_offsets(tenant, "shop.products").values()) < 20:
            assert process.poll() is None, "the refresh ended by itself"
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    result = refresh(tenant)
    assert (result.products, result.repeated) == (50, 50)
    identities = Counter(
        (record.key, verdict.fields["event_id"], verdict.fields["event_time"])
        for record, verdict in published(tenant, "shop.products")
    )
    assert len(identities) == 50
    assert sorted(identities.values()) == [1] * 30 + [2] * 20


def test_a_database_that_is_down_is_named_with_the_command_that_starts_it(tenant: Settings) -> None:
    elsewhere = tenant.model_copy(update={"postgres_port": free_port_base()})
    with pytest.raises(ServiceDownError, match=r"postgres does not answer .* lakehouse up postgres"):
        refresh(elsewhere)
