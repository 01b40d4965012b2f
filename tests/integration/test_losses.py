"""Records that Kafka has lost before a job had read them: told by name, and gone on without once somebody says so."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import CLICKS_MIGRATED, INGEST
from lakehouse.contracts.tables import INGESTED
from lakehouse.delta import TableMissingError, scan
from lakehouse.flink_rest import call_flink
from lakehouse.kafka.topics import create_topics
from lakehouse.ledger import Audit, audit
from lakehouse.losses import RecordsLostError
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.reconcile import reconcile, start, stop
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import spark_positions
from tests.command import lakehouse
from tests.integration.spark_lake import Driver, click, send
from tests.topics import make_anew, remove_records
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

TOPIC = CLICKS.topic
SPARK, FLINK = JOBS[CLICKS_MIGRATED], JOBS[INGEST]


def table_of(job: str) -> str:
    return {CLICKS_MIGRATED: f"bronze.{CLICKS_MIGRATED}", INGEST: f"bronze.clicks{INGESTED}"}[job]


def tenant(stack: "Stack", job: str, *services: str) -> Settings:
    own = stack.ensure("kafka", "minio", "postgres", *services).model_copy(update={"namespace": f"lost_{job}"})
    create_topics(own)
    return own


def send_clicks(settings: Settings, first: int, end: int, partition: int = 3) -> None:
    """Clicks whose offsets are the minutes from `first` to `end`, where the partition held none of others."""
    send(settings, [click("ana", minute) for minute in range(first, end)], partition)


def rows(settings: Settings, job: str) -> int:
    try:
        return scan(settings, table_of(job)).collect().height
    except TableMissingError:
        return 0


def accept(settings: Settings, job: str) -> str:
    done = lakehouse(settings, "job", "accept-loss", job, "--yes")
    assert done.returncode == 0, done.stderr
    return done.stdout


def audited(settings: Settings, job: str) -> Audit:
    return audit(settings, variant=table_of(job))


def test_spark_jumps_over_nothing_until_somebody_accepts_it(stack: "Stack") -> None:
    settings, job = tenant(stack, CLICKS_MIGRATED), CLICKS_MIGRATED
    with Driver(settings, job) as driver:
        driver.wait_for(lambda: "query" in driver.log.read_text())
        send_clicks(settings, 0, 20)
        driver.wait_for(lambda: spark_positions(settings, job)[TOPIC][3] == 20)
        assert driver.terminate()[0] == 0
    assert "has lost nothing" in accept(settings, job)
    send_clicks(settings, 20, 30)
    remove_records(settings, TOPIC, {3: 25})
    with Driver(settings, job) as driver:
        assert driver.wait() == 1
    said = driver.log.read_text().splitlines()[-1]
    assert f"{job} can't go on, it had not read all that Kafka has lost: {TOPIC}[3] offsets 20-24 are gone" in said
    assert f"lakehouse job accept-loss {job}" in said

    assert f"{TOPIC}[3] offsets 20-24 are gone" in accept(settings, job)
    with Driver(settings, job) as driver:
        driver.wait_for(lambda: rows(settings, job) == 25)
        result = audited(settings, job)
        assert (result.findings, result.known_lost) == ((), 5)
        assert result.summary.endswith("; 5 known to be lost before they were read")

        with driver.frozen():
            make_anew(settings, TOPIC)
            send_clicks(settings, 100, 140)  # more than it has read: its position is one of the new log, too
        assert driver.wait() == 1
    assert f"{TOPIC} was deleted and made anew" in driver.log.read_text()
    assert rows(settings, job) == 25

    accept(settings, job)
    with Driver(settings, job) as driver:
        driver.wait_for(lambda: rows(settings, job) == 25 + 40)
    result = audited(settings, job)
    assert (result.findings, result.known_lost) == ((), 5)


@pytest.fixture
def flink(stack: "Stack") -> Iterator[Settings]:
    settings = tenant(stack, INGEST, "flink")
    yield settings
    stop(settings, FLINK, "test")


def failures(settings: Settings) -> str:
    """What the cluster says that the job has failed at."""
    handle = FlinkAdapter(settings).status(FLINK).handle
    return str(call_flink(settings, "GET", f"/jobs/{handle}/exceptions"))


def refused(settings: Settings) -> str:
    """Why reconciling can't help the job."""
    with pytest.raises(RecordsLostError) as caught:
        reconcile(settings, [FLINK])
    return str(caught.value)


def test_flink_jumps_over_nothing_until_somebody_accepts_it(flink: Settings) -> None:
    settings, job = flink, INGEST
    start(settings, FLINK, "test")
    send_clicks(settings, 0, 20)
    send_clicks(settings, 0, 5, partition=1)
    until(lambda: rows(settings, job) == 25, 90, "the first are there")
    stop(settings, FLINK, "test")
    send_clicks(settings, 20, 30)
    send_clicks(settings, 5, 8, partition=1)
    remove_records(settings, TOPIC, {3: 25, 1: 8})  # nothing is left of the second
    with pytest.raises(RecordsLostError, match=r"\[1\] offsets 5-7 are gone; .*\[3\] offsets 20-24 are gone"):
        start(settings, FLINK, "test")
    assert "offsets 20-24 are gone" in refused(settings)

    accept(settings, job)
    send_clicks(settings, 30, 32)
    until(lambda: rows(settings, job) == 25 + 5 + 2, 90, "what is left is there")
    reconcile(settings, [FLINK])
    result = audited(settings, job)
    assert (result.findings, result.known_lost) == ((), 8)

    make_anew(settings, TOPIC)
    send_clicks(settings, 100, 150)
    until(lambda: "was made anew" in failures(settings), 90, "the sink notices before anybody reconciles")
    assert rows(settings, job) == 32
    assert f"{TOPIC} was deleted and made anew" in refused(settings)
    accept(settings, job)
    send_clicks(settings, 150, 160, partition=1)
    until(lambda: rows(settings, job) == 32 + 60, 90, "the new topic is there")
    result = audited(settings, job)
    assert (result.findings, result.known_lost) == ((), 8)
