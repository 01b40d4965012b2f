"""What Kafka has forgotten is compared by what bronze keeps, as far as the ledger proves that, and audited no less."""

import shutil
import uuid
from collections.abc import Callable

import polars as pl
import pytest

from lakehouse.compare import Comparison, compare
from lakehouse.compare.segments import cache_directory
from lakehouse.drained import kafka_ends
from lakehouse.kafka.consumer import end_offsets
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.kafka.topics import ALERTS
from lakehouse.ledger import Audit, audit
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.reference_lake import alert, changed, encoded, fill, fill_said
from tests.strategies import click, impression, product, profile, purchase, transaction
from tests.topics import remove_records

pytestmark = pytest.mark.stack

CLICKS = [
    *(impression("ana", "10:00", event_id=f"i{i}") for i in range(20)),
    *(click("bo", "10:01", event_id=f"c{i}") for i in range(11)),
    click("bo", "10:01", event_id="c3"),
]
STREAM = [
    product("mug", "08:00"),
    profile("ana", "07:00"),
    *CLICKS,
    click("ana", "11:00", "mug"),
    purchase("ana", "11:02", "mug"),
    *(transaction("ana", "10:00", event_id=f"t{i:02d}") for i in range(11)),
]
BROKEN: list[Outgoing] = [("shop.clicks", b"bo", b"{"), ("shop.clicks", b"bo", None)]
Rows = pl.DataFrame


@pytest.fixture
def tenant(stack: Stack) -> Settings:
    """A namespace in which everything is as the reference has it; no comparison has been made."""
    services = stack.ensure("kafka", "minio", "valkey")
    own = services.model_copy(update={"namespace": f"f{uuid.uuid4().hex[:10]}"})
    reference = fill(own, STREAM, BROKEN)
    with Sender(own) as sender:
        sender.send([alert(anomaly, "opened") for anomaly in reference.anomalies()])
    fill_said(own, reference)
    shutil.rmtree(cache_directory(own))
    return own


def forget(settings: Settings, topic: str, less: int = 0) -> None:
    """Lets Kafka forget a topic, but for the last `less` of each partition."""
    remove_records(settings, topic, {p: max(end - less, 0) for p, end in end_offsets(settings, topic).items()})


def outcome(result: Comparison) -> tuple[list[str], int]:
    """What differs, and how many records are unproved."""
    return [t.table for t in result.tables if not t.equal], sum(each.records for each in result.unproved)


@pytest.mark.parametrize("kept_of_each_partition", [0, 4])
def test_all_equals_the_reference_when_kafka_has_forgotten_what_was_audited(
    tenant: Settings, kept_of_each_partition: int
) -> None:
    audit(tenant)
    before = compare(tenant)
    shutil.rmtree(cache_directory(tenant))
    for topic in kafka_ends(tenant):
        forget(tenant, topic, kept_of_each_partition)
    forget(tenant, ALERTS, kept_of_each_partition)
    result = compare(tenant)
    assert outcome(result) == ([], 0)
    assert result.equal
    assert result.accounting == before.accounting
    assert [t.rows_compared for t in result.tables] == [t.rows_compared for t in before.tables]


def test_what_was_read_of_kafka_before_goes_on_with_what_bronze_keeps(tenant: Settings) -> None:
    compare(tenant)
    with Sender(tenant) as sender:
        sender.send([encoded(purchase("ana", "11:30"))])
    audit(tenant)  # whose range of ana's partition begins at 0
    forget(tenant, "shop.purchases")
    result = compare(tenant, ["bronze.purchases"])
    assert [each.records for each in result.unproved] == [1]  # bronze lacks the second
    assert not result.equal


def alter(column: str) -> Callable[[Rows], Rows]:
    def first_value(rows: Rows) -> Rows:
        here = pl.int_range(pl.len()) == 0
        return rows.with_columns(pl.when(here).then(pl.lit(b"{}")).otherwise(column).alias(column))

    return first_value


def test_what_bronze_has_otherwise_than_kafka_had_is_not_called_equal(tenant: Settings) -> None:
    audit(tenant)
    forget(tenant, "shop.purchases")
    changes: list[tuple[Callable[[Rows], Rows], bool]] = [
        (lambda rows: rows[1:], True),
        (alter("value"), True),
        (lambda rows: pl.concat([rows, rows[:1]]), False),  # the comparison itself finds it
    ]
    for change, unproved in changes:
        with changed(tenant, "bronze.purchases", change):
            result = compare(tenant, ["bronze.purchases"])
        assert not result.equal
        assert bool(result.unproved) == unproved
    assert compare(tenant, ["bronze.purchases"]).equal, "what was unproved is read again"


def test_what_no_audit_had_read_before_kafka_forgot_it_is_unproved(tenant: Settings) -> None:
    forget(tenant, "shop.clicks")
    result = compare(tenant)
    differing, unproved = outcome(result)
    assert differing == []
    assert unproved == len(CLICKS) + 1 + len(BROKEN)
    assert not result.equal


def audited(result: Audit) -> tuple[int, int, int]:
    return result.records["shop.clicks"], len(result.findings), sum("shop.clicks" in note for note in result.notes)


def test_what_no_audit_had_read_before_kafka_forgot_it_is_told_by_every_audit_and_stands_for_its_duplicates(
    tenant: Settings,
) -> None:
    """Bo's event c3 is there twice: the first of them is among what nobody audited."""
    forget(tenant, "shop.clicks", less=2)
    found = audit(tenant, live=False)
    assert found.clean
    assert 0 < found.records["shop.clicks"] < len(CLICKS)
    again = audit(tenant, live=False)
    assert again.read == 0
    assert audited(again) == audited(found)
    forget(tenant, "shop.clicks")
    assert audited(audit(tenant, live=False)) == audited(found), "the sums that were taken stand for what was read"
