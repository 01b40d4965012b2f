"""Flink's ingesters on real Kafka, Flink and MinIO: bronze equals Kafka's own records, through all kinds of restart."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from jobs.streaming.flink.ingest import DEAD_LETTERS
from lakehouse.compare.reference import Reference
from lakehouse.compare.run import compare_each
from lakehouse.compare.tables import PinnedTable
from lakehouse.contracts.events import CLICKS, TRANSACTIONS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import INGEST_CLICKS, INGEST_TRANSACTIONS
from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.kafka.topics import create_topics
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.integration.tables.log_files import log_transactions
from tests.transactions import Transactions
from tests.waiting import until

pytestmark = pytest.mark.stack

INGEST, CLICKS_JOB = JOBS[INGEST_TRANSACTIONS], JOBS[INGEST_CLICKS]


def transaction(draw: random.Random, number: int) -> Outgoing:
    """One in ten is invalid, each in its own way."""
    user = f"usér-{draw.randrange(20)}"
    payload = {"event_id": f"t{number}", "event_time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    payload |= {"user_id": user, "merchant": draw.choice(["", "kiosk", "Bäcker"]), "country": "DE"}
    whole: dict[str, object] = payload | {"amount_cents": draw.randrange(10**6), "priority": "normal"}
    value: bytes | None = json.dumps(whole).encode()
    if draw.random() < 0.1:
        broken: list[bytes | None] = [None, b"", b"{", b"\xff\xfe", json.dumps(whole | {"amount_cents": -1}).encode()]
        value = draw.choice([*broken, json.dumps(payload).encode(), json.dumps(whole | {"user_id": "other"}).encode()])
    return TRANSACTIONS.topic, user.encode(), value


def click(draw: random.Random, number: int) -> Outgoing:
    user = f"usér-{draw.randrange(20)}"
    payload = {"event_id": f"c{number}", "event_time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    payload |= {"user_id": user, "action": draw.choice(["click", "impression"]), "page": "/", "region": "süd"}
    return CLICKS.topic, user.encode(), json.dumps(payload).encode()


@dataclass(frozen=True)
class Outcome:
    settings: Settings
    reference: Reference
    versions_while_idle: tuple[int, int]
    """Of bronze.transactions, with a complete checkpoint between them."""


class Ingested:
    """Sends records and follows a job's way through them."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._draw = random.Random(seed)
        self._sent = 0
        self._adapter = FlinkAdapter(settings)
        self._transactions = [Transactions(settings, topic) for topic in (TRANSACTIONS.topic, CLICKS.topic)]

    def send(self, records: int) -> None:
        """So many of each topic, and one more in a transaction; the partition of that ends with aborted records."""
        self._sent += 1
        for transactions, draw in zip(self._transactions, (transaction, click), strict=True):
            _, key, value = draw(self._draw, self._sent)
            transactions.commit(value or b"", key=key)
            transactions.abort(value or b"", b"{", key=key)
        with Sender(self._settings) as sender:
            for _ in range(records):
                self._sent += 1
                sender.send([transaction(self._draw, self._sent), click(self._draw, self._sent)])

    def wait(self, topic: str, *tables: str) -> None:
        """Until the tables together hold as many rows as the topic has records."""
        records = sum(1 for _ in read_partitions(self._settings, topic))
        until(lambda: sum(map(self._rows, tables)) == records, 90, f"all of {topic} in {tables}", every=0.2)

    def _rows(self, name: str) -> int:
        actions = opened(self._settings, name).get_add_actions()
        return sum(pa.table(actions)["num_records"].to_pylist())

    def wait_for_checkpoint(self, job: str) -> None:
        """Until the next one is complete."""
        reached = self._adapter.status(JOBS[job]).checkpoint
        until(lambda: self._adapter.status(JOBS[job]).checkpoint not in (None, reached), 90, "a checkpoint", every=0.2)


@pytest.fixture(scope="module")
def outcome(stack: Stack, seed: int) -> Outcome:
    """Records before, between and after a kill, a stop with a savepoint, and a start with another parallelism."""
    settings = stack.ensure("kafka", "minio", "postgres", "flink").model_copy(update={"namespace": "ingest"})
    create_topics(settings)
    migrate(settings)
    adapter, log = FlinkAdapter(settings), Ingested(settings, seed)

    log.send(300)
    adapter.submit(INGEST)
    adapter.submit(CLICKS_JOB)
    log.wait(TRANSACTIONS.topic, "bronze.transactions", DEAD_LETTERS)
    log.send(300)
    adapter.cancel(INGEST)
    log.send(300)
    adapter.submit(INGEST)
    log.wait(TRANSACTIONS.topic, "bronze.transactions", DEAD_LETTERS)
    log.send(300)
    assert adapter.stop(INGEST, savepoint=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LAKEHOUSE_PARALLELISM", "1")
        adapter.submit(INGEST)
    log.send(300)
    log.wait(TRANSACTIONS.topic, "bronze.transactions", DEAD_LETTERS)
    before = opened(settings, "bronze.transactions").version()
    log.wait_for_checkpoint(INGEST.name)
    after = opened(settings, "bronze.transactions").version()
    log.wait(CLICKS.topic, "bronze.clicks__flink")
    adapter.cancel(INGEST)
    adapter.cancel(CLICKS_JOB)
    ends = {topic: end_offsets(settings, topic) for topic in (CLICKS.topic, TRANSACTIONS.topic)}
    return Outcome(settings, Reference.read(settings, ends), (before, after))


def opened(settings: Settings, name: str) -> DeltaTable:
    return DeltaTable(settings.table_path(name), storage_options=settings.delta_storage_options())


def test_bronze_holds_each_valid_record_once(outcome: Outcome) -> None:
    names = ("bronze.transactions", "bronze.clicks__flink")
    for compared in compare_each(outcome.settings, outcome.reference, names, lambda _doing: None):
        assert compared.equal, compared
        assert compared.rows_compared > 500


def test_each_invalid_transaction_is_a_dead_letter_once(outcome: Outcome) -> None:
    found = PinnedTable(outcome.settings, DEAD_LETTERS).frame().sort("partition", "offset")
    frames = [outcome.reference.stored(DEAD_LETTERS, partition) for partition in outcome.reference.partitions]
    expected = pl.concat(frames).filter(pl.col("topic") == TRANSACTIONS.topic).sort("partition", "offset")
    assert found["reason"].n_unique() > 4
    assert_frame_equal(found, expected)


@pytest.mark.parametrize("name", ["bronze.transactions", "bronze.dead_letters"])
def test_all_restarts_commit_under_one_application_id_each_checkpoint_once(outcome: Outcome, name: str) -> None:
    transactions = log_transactions(outcome.settings, name)
    assert len(transactions) > 2
    assert len({app_id for app_id, _ in transactions}) == 1
    checkpoints = [checkpoint for _, checkpoint in transactions]
    assert checkpoints == sorted(set(checkpoints))


def test_an_idle_topic_makes_no_commits(outcome: Outcome) -> None:
    before, after = outcome.versions_while_idle
    assert before == after
