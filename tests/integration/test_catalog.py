"""The catalogue in a real PostgreSQL and its way into a real Kafka."""

import os
import re
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
from psycopg import sql

from infra.local.isolated import free_port_base
from lakehouse.catalog import refresh, seed_catalogue
from lakehouse.catalog.changelogs import CHANGELOGS
from lakehouse.catalog.database import connect, schema_name
from lakehouse.contracts.validation import Valid, validate
from lakehouse.generator.shop import PRODUCTS, PROFILES
from lakehouse.kafka.consumer import Record, end_offsets, read_partitions
from lakehouse.kafka.topics import create_topics
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.command import lakehouse
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


@pytest.mark.parametrize("product", ["", "a\nb", "a\x85b", "x" * 257])
def test_ids_that_no_event_may_carry_are_refused(database: psycopg.Connection, product: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        add(database, product)


@pytest.mark.parametrize("table", ["products", "product_versions", "profiles", "profile_versions"])
def test_times_that_no_event_may_carry_are_refused(database: psycopg.Connection, table: str) -> None:
    for since in ("infinity", "-infinity", "10000-01-01Z", "1999-12-31 23:59:59.999Z", "0044-03-15Z BC"):
        with pytest.raises(psycopg.errors.CheckViolation, match=f"{table}_valid_from_check"):
            insert(database, table, "b08-later", since)


def test_the_last_time_that_an_event_may_carry_is_published(tenant: Settings, database: psycopg.Connection) -> None:
    insert(database, "profiles", "u1", "9999-12-31 23:59:59.999Z")
    assert refresh(tenant).profiles == 1
    assert len(published(tenant, "shop.profiles")) == 1


def test_what_is_no_valid_event_is_set_aside_by_name_and_the_rest_published(
    tenant: Settings, database: psycopg.Connection
) -> None:
    declared = constraints(database)
    without_constraints(database)
    invalid = {"later": "infinity", "early": "-infinity", "far": "12026-03-02Z", "": "2026-03-02Z"}
    for product, since in invalid.items():
        insert(database, "products", product, since)
    add(database, "cheap", -1)
    database.execute("INSERT INTO products VALUES ('huge', repeat('x', 70000), 'acme', 500)")
    insert(database, "products", "plain", "2026-03-02 12:00Z")
    insert(database, "profiles", "u1", "2026-03-02Z")
    # As a refresh of an earlier version left them: their time given, and it ended before it sent anything.
    database.execute("UPDATE product_versions SET published_at = clock_timestamp() WHERE seq <= 2")
    with connect(tenant) as again:
        assert constraints(again) == declared, "a database that exists gets them too"

    table = f"{schema_name(tenant)}.product_versions"
    for _ in range(2):
        result = refresh(tenant, batch=2)
        assert result.set_aside == 6
        assert [re.sub("[0-9,]+ bytes", "N bytes", str(version)) for version in result.named] == [
            f"{table}, seq 1, product_id 'later': valid_from is 'infinity' (wrong_type)",
            f"{table}, seq 2, product_id 'early': valid_from is '-infinity' (wrong_type)",
            f"{table}, seq 3, product_id 'far': valid_from is '12026-03-02T00:00:00+00:00' (wrong_type)",
            f"{table}, seq 4, product_id '': product_id is '' (out_of_range)",
            f"{table}, seq 5, product_id 'cheap': price_cents is -1 (out_of_range)",
            f"{table}, seq 6, product_id 'huge': N bytes (too_large)",
        ]
    assert [record.key for record, _ in published(tenant, "shop.products")] == [b"plain"]
    assert [record.key for record, _ in published(tenant, "shop.profiles")] == [b"u1"]

    database.execute("UPDATE product_versions SET valid_from = '2026-03-03Z' WHERE seq = 1")
    database.execute("DELETE FROM product_versions WHERE seq = 2")
    corrected = refresh(tenant)
    assert (corrected.products, corrected.set_aside) == (1, 4)
    assert {record.key for record, _ in published(tenant, "shop.products")} == {b"plain", b"later"}


def test_the_command_names_what_it_set_aside_and_how_to_correct_it(
    tenant: Settings, database: psycopg.Connection
) -> None:
    without_constraints(database)
    insert(database, "products", "b08-later", "infinity")
    insert(database, "profiles", "b08-user", "2026-03-02Z")
    done = lakehouse(tenant, "catalog", "refresh")
    assert done.returncode == 1
    assert "0 product and 1 profile versions published" in done.stdout
    assert "product_versions, seq 1, product_id 'b08-later': valid_from is 'infinity' (wrong_type)" in done.stdout
    assert "UPDATE its table SET" in done.stdout


def insert(database: psycopg.Connection, table: str, key: str, since: str) -> None:
    """Into any of the four tables, whose columns stand in the order of their changelog's."""
    changelog = next(c for c in CHANGELOGS if table in (c.current, c.versions))
    values = [key, "kitchen", "acme", 500][: len(changelog.columns) - 1]
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, changelog.columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(changelog.columns)),
    )
    database.execute(query, (*values, since))


def without_constraints(database: psycopg.Connection) -> None:
    """As the database of an earlier version, which the next connection brings up to date."""
    for table, name in constraints(database):
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
        database.execute(drop.format(sql.Identifier(table), sql.Identifier(name)))
    schema = database.execute("SELECT current_schema()").fetchone() or ()
    database.execute(sql.SQL("COMMENT ON SCHEMA {} IS 'earlier'").format(sql.Identifier(*schema)))


def constraints(database: psycopg.Connection) -> list[tuple[str, str]]:
    """Table and name of each check."""
    query = """
        SELECT conrelid::regclass::text, conname FROM pg_constraint
        WHERE contype = 'c' AND connamespace = current_schema()::regnamespace ORDER BY conname
    """
    return database.execute(query).fetchall()


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
