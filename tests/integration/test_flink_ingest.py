"""Flink's ingest on real Kafka, Flink and MinIO: bronze equals Kafka's own records, through all kinds of restart."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from lakehouse.compare.reference import Reference
from lakehouse.compare.run import compare_each
from lakehouse.contracts.events import CLICKS, EVENTS, PRODUCTS, PROFILES, PURCHASES, TRANSACTIONS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import INGEST
from lakehouse.contracts.tables import BRONZE, INGESTED
from lakehouse.cuts import ends_of
from lakehouse.delta import Once, append, open_table, scan
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.kafka.consumer import read_partitions
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.kafka.topics import create_topics, topic_ids
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.protocol import SubmissionFailedError
from lakehouse.runtime.reconcile import begin_anew
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.integration.tables.log_files import log_transactions
from tests.refreshed import bronze
from tests.strategies import click, positioned
from tests.transactions import Transactions
from tests.waiting import until

pytestmark = pytest.mark.stack

JOB = JOBS[INGEST]
TABLES = tuple(sorted(JOB.writes, key=lambda name: name.startswith("bronze.dead_letters")))
"""The dead letters last."""


FIELDS: dict[str, Callable[[random.Random], dict[str, object]]] = {
    CLICKS.topic: lambda draw: {"action": draw.choice(["click", "impression"]), "page": "/", "region": "süd"},
    PURCHASES.topic: lambda draw: {
        "product_id": "p1",
        "quantity": draw.randrange(1, 9),
        "amount_cents": draw.randrange(10**6),
        "currency": "EUR",
        "region": "süd",
    },
    TRANSACTIONS.topic: lambda draw: {
        "amount_cents": draw.randrange(10**6),
        "merchant": draw.choice(["", "kiosk", "Bäcker"]),
        "country": "DE",
        "priority": "normal",
    },
    PRODUCTS.topic: lambda draw: {"category": "shoes", "brand": "Ø", "price_cents": draw.randrange(10**6)},
    PROFILES.topic: lambda draw: {"country": "DE", "segment": draw.choice(["new", "loyal"])},
}
"""What the payloads of a topic have beyond identity and times."""


def record(topic: str, draw: random.Random, number: int) -> Outgoing:
    """One in ten is invalid, each in its own way."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    contract, key = EVENTS[topic], f"usér-{draw.randrange(20)}"
    payload: dict[str, object] = {"event_id": f"e{number}", "event_time": now, contract.key: key}
    if any(field.name == "valid_from" for field in contract.fields):
        payload["valid_from"] = now
    payload |= FIELDS[topic](draw)
    value: bytes | None = json.dumps(payload).encode()
    if draw.random() < 0.1:
        without = {name: held for name, held in payload.items() if name != "event_id"}
        other = json.dumps(payload | {contract.key: "other"}).encode()
        value = draw.choice([None, b"", b"{", b"\xff\xfe", json.dumps(without).encode(), other])
    return topic, key.encode(), value


@dataclass(frozen=True)
class Outcome:
    settings: Settings
    reference: Reference
    versions_while_idle: tuple[int, int]
    """Of clicks, with a complete checkpoint between them."""


class Ingested:
    """Sends records and follows a job's way through them."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._draw = random.Random(seed)
        self._sent = 0
        self._adapter = FlinkAdapter(settings)
        self._transactions = {topic: Transactions(settings, topic) for topic in EVENTS}

    def send(self, records: int) -> None:
        """So many of each topic, and one more in a transaction; the partition of that ends with aborted records."""
        for topic, transactions in self._transactions.items():
            _, key, value = record(topic, self._draw, self._number())
            transactions.commit(value or b"", key=key)
            transactions.abort(value or b"", b"{", key=key)
        with Sender(self._settings) as sender:
            for _ in range(records):
                sender.send([record(topic, self._draw, self._number()) for topic in EVENTS])

    def _number(self) -> int:
        self._sent += 1
        return self._sent

    def wait(self) -> None:
        """Until the tables together hold as many rows as the topics have records."""
        records = sum(1 for topic in EVENTS for _ in read_partitions(self._settings, topic))
        until(lambda: sum(map(self._rows, TABLES)) == records, 90, f"all records are in {TABLES}", every=0.2)

    def _rows(self, name: str) -> int:
        actions = open_table(self._settings, name).get_add_actions()
        return sum(pa.table(actions)["num_records"].to_pylist())

    def wait_for_checkpoint(self) -> None:
        """Until the next one is complete."""
        reached = self._adapter.status(JOB).checkpoint
        until(lambda: self._adapter.status(JOB).checkpoint not in (None, reached), 90, "a checkpoint", every=0.2)


@pytest.fixture(scope="module")
def outcome(stack: Stack, seed: int) -> Outcome:
    """Records before, between and after a kill, a stop with a savepoint, a start with another parallelism, and one with
    new state."""
    settings = stack.ensure("kafka", "minio", "postgres", "flink").model_copy(update={"namespace": "ingest"})
    create_topics(settings)
    migrate(settings)
    adapter, log = FlinkAdapter(settings), Ingested(settings, seed)

    log.send(100)
    adapter.submit(JOB)
    log.wait()
    log.send(100)
    adapter.cancel(JOB)
    log.send(100)
    adapter.submit(JOB)
    log.wait()
    log.send(100)
    assert adapter.stop(JOB, savepoint=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LAKEHOUSE_PARALLELISM", "1")
        adapter.submit(JOB)
    log.send(100)
    log.wait()
    before = open_table(settings, TABLES[0]).version()
    log.wait_for_checkpoint()
    after = open_table(settings, TABLES[0]).version()
    adapter.cancel(JOB)
    log.send(100)
    begin_anew(settings, JOB, "test")
    log.send(100)
    log.wait()
    log.wait_for_checkpoint()
    adapter.cancel(JOB)
    ends = kafka_ends(settings)
    return Outcome(settings, Reference.read(settings, ends), (before, after))


def test_bronze_holds_each_record_once_whether_it_is_valid_or_not(outcome: Outcome) -> None:
    for compared in compare_each(outcome.settings, outcome.reference, TABLES, lambda _doing: None):
        assert compared.equal, compared
        assert compared.rows_compared > 200
    dead = scan(outcome.settings, TABLES[-1]).select("topic", "reason").collect()
    assert dead["topic"].n_unique() == len(EVENTS)
    assert dead["reason"].n_unique() > 4


@pytest.mark.parametrize("name", [TABLES[0], TABLES[-1]])
def test_restarts_of_one_state_commit_under_one_application_id_each_checkpoint_once(
    outcome: Outcome, name: str
) -> None:
    transactions = log_transactions(outcome.settings, name)
    numbers: dict[str, list[int]] = {}
    for app_id, version in transactions:
        if app_id.startswith("flink-"):
            numbers.setdefault(app_id, []).append(version)
    assert len(numbers) == 2  # two states
    assert all(each == sorted(set(each)) for each in numbers.values())
    assert len(next(iter(numbers.values()))) > 2
    generations = [
        [version for app_id, version in transactions if app_id == f"checkpoint/{INGEST}@{generation}"]
        for generation in (1, 2)
    ]
    assert generations == list(numbers.values())


def test_commits_say_how_far_the_topics_were_read(outcome: Outcome) -> None:
    settings, ends = outcome.settings, outcome.reference.ends
    opened = {name: open_table(settings, name + INGESTED) for name in BRONZE}
    assert ends_of(opened, topic_ids(settings, EVENTS), ends) == ends
    assert all(sum(end > 0 for end in partitions.values()) > 1 for partitions in ends.values())


def test_rows_that_ingest_has_not_written_are_not_written_again(stack: Stack) -> None:
    settings = stack.ensure("kafka", "minio", "postgres", "flink").model_copy(update={"namespace": "foreign"})
    create_topics(settings)
    migrate(settings)
    rows = to_arrow(TABLES[0], bronze("bronze.clicks", positioned([click("ana", "10:00")])))
    append(settings, TABLES[0], rows, Once.new("test"))
    with pytest.raises(SubmissionFailedError, match=f"{TABLES[0]} has rows that ingest has not written"):
        FlinkAdapter(settings).submit(JOBS[INGEST])


def test_an_idle_topic_makes_no_commits(outcome: Outcome) -> None:
    before, after = outcome.versions_while_idle
    assert before == after


def test_new_state_is_refused_where_the_tables_have_a_checkpoint_in_part(outcome: Outcome) -> None:
    settings, tables = outcome.settings, (TABLES[0], TABLES[-1])
    clicks = [scan(settings, name).filter(topic=CLICKS.topic).select("partition", "offset") for name in tables]
    partition, offset = pl.concat(clicks).sort("offset").tail(1).collect().row(0)
    place = f'topic = \'{CLICKS.topic}\' AND "partition" = {partition} AND "offset" = {offset}'
    for name in tables:
        open_table(settings, name).delete(place)
    with pytest.raises(SubmissionFailedError, match=rf"bronze has .* records of {CLICKS.topic}.*in part"):
        begin_anew(settings, JOB, "test")
