"""Fraud decisions on Kafka, Flink and Delta; the TaskManager is killed between checkpoints while transactions come."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest

from lakehouse.alerts import CTR_ANOMALY, FRAUD_BLOCKED, FRAUD_FLAGGED, parse_alert
from lakehouse.compare import SAID, Comparison, compare
from lakehouse.compare.tables import PinnedTable
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.jobs import JOBS
from lakehouse.drained import wait_until_drained
from lakehouse.drained.positions import group_positions
from lakehouse.generator.render import records
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.kafka.feed import feed
from lakehouse.kafka.producer import build_producer
from lakehouse.kafka.topics import ALERTS, create_topics
from lakehouse.runtime.reconcile import start, stop
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.faults.killing import PATIENCE_SECONDS, Kill, back, kill
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1200)]

FRAUD, RECORD = JOBS["fraud_online"], JOBS["alerts_sent"]
COUNT = 4_000


@dataclass(frozen=True)
class Outcome:
    settings: Settings
    comparison: Comparison
    uncovered: int
    """Records that Kafka held at the kill and no checkpoint covered."""
    killed: Kill


@pytest.fixture(scope="module")
def outcome(stack: "Stack", seed: int) -> Iterator[Outcome]:
    settings = stack.ensure("kafka", "minio", "postgres", "flink").model_copy(update={"namespace": "fraud"})
    create_topics(settings)
    for job in (FRAUD, RECORD):
        start(settings, job, "test")
    day = ShopDay(
        date(2026, 3, 5),
        clicks=0,
        purchases=0,
        transactions=COUNT,
        seed=seed,
        very_late=0.02,
        duplicates=0.05,
        broken=0.01,
    )
    sent = [record for batch in records(day) for record in batch]
    third = len(sent) // 3
    feed(settings, [sent[:third]], judged=False, unsafe=True)
    until(lambda: covered(settings), PATIENCE_SECONDS, "a checkpoint of the first third")
    feed(settings, [sent[third : 2 * third]], judged=False, unsafe=True)
    foreign_alerts(settings)
    killed = kill(settings, "flink-taskmanager")
    uncovered = behind(settings)
    feed(settings, [sent[2 * third :]], judged=False, unsafe=True)
    back(settings, killed)
    ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False, tables=False, said=True)
    yield Outcome(settings, compare(settings, SAID, ends), uncovered, killed)
    for job in (FRAUD, RECORD):
        stop(settings, job, "test")


def behind(settings: Settings) -> int:
    """Transactions that the job's committed offsets do not cover."""
    committed = group_positions(settings, FRAUD.name).get(TRANSACTIONS.topic, {})
    ends = end_offsets(settings, TRANSACTIONS.topic)
    return sum(end - committed.get(partition, 0) for partition, end in ends.items())


def covered(settings: Settings) -> bool:
    """Whether a checkpoint covers all transactions; not while the new broker still looks for groups' coordinator."""
    try:
        return not behind(settings)
    except ServiceDownError:
        return False


NO_ALERTS = (None, b"\xff{", b"[" * 100_000, b'{"rule": {"not": "text"}, "state": ["opened"]}', b'{"rule": null} more')
"""Anybody may write to the topic."""


def foreign_alerts(settings: Settings) -> None:
    """One that another job sends, and what is none."""
    producer = build_producer(settings)
    for value in (b'{"rule":"ctr_anomaly","state":"opened"}', *NO_ALERTS):
        producer.produce(settings.prefixed(ALERTS), key="ctr_anomaly/0/mug", value=value)
    assert producer.flush(30) == 0


def test_the_kill_fell_between_a_checkpoint_and_transactions_after_it(outcome: Outcome) -> None:
    assert outcome.uncovered > COUNT / 4


def test_each_transaction_has_one_decision_the_one_that_could_be_made_then(outcome: Outcome) -> None:
    (decisions,) = (t for t in outcome.comparison.tables if t.table == "silver.fraud_online")
    assert decisions.equal, decisions.examples
    assert decisions.rows_compared == COUNT
    assert outcome.comparison.accounting.topics[TRANSACTIONS.topic].duplicate > 0
    assert outcome.comparison.accounting.topics[TRANSACTIONS.topic].dead_letters > 0


def test_nothing_untrue_was_said_and_each_decision_has_its_alert(outcome: Outcome) -> None:
    flagged, blocked = outcome.comparison.said
    assert flagged.right, flagged
    assert blocked.right, blocked
    assert flagged.agreed > 50
    assert blocked.agreed > 20
    assert flagged.late > 0
    assert blocked.late + blocked.forgotten > 0


def test_few_came_so_late_that_their_state_was_gone(outcome: Outcome) -> None:
    decisions = PinnedTable(outcome.settings, "silver.fraud_online").frame()
    incomplete = decisions.filter(~pl.col("state_complete")).height
    assert 0 < incomplete < 0.05 * COUNT


def test_every_alert_sent_is_recorded_whoever_sent_it(outcome: Outcome) -> None:
    (sent,) = (t for t in outcome.comparison.tables if t.table == "silver.alerts_sent")
    assert sent.equal, sent.examples
    rows = PinnedTable(outcome.settings, "silver.alerts_sent").frame()
    assert set(rows["rule"]) == {CTR_ANOMALY, FRAUD_FLAGGED, FRAUD_BLOCKED, None}
    assert set(rows.filter(pl.col("rule").is_null())["value"]) == set(NO_ALERTS)
    for rule, key, value in rows.filter(pl.col("dedup_key").is_not_null())["rule", "dedup_key", "value"].iter_rows():
        alert = parse_alert(value)
        assert (alert.rule, alert.dedup_key) == (rule, key)


def test_an_alert_that_was_sent_again_is_the_same_to_the_letter(outcome: Outcome) -> None:
    values: dict[str, set[bytes]] = {}
    for record in read_partitions(outcome.settings, ALERTS):
        if record.key and record.key.startswith(b"fraud"):
            values.setdefault(parse_alert(record.value or b"").dedup_key, set()).add(record.value or b"")
    assert values
    assert {len(each) for each in values.values()} == {1}
