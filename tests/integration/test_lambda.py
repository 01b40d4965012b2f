"""Lambda's layers on real services: a batch run, the speed layer across two hand-overs, the views equal to Kappa."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from experiments.architectures.equality import compare_served
from jobs.streaming.lambda_speed import main as speed
from lakehouse.compare.reference import Reference
from lakehouse.contracts.tables import LAMBDA_METRICS, table
from lakehouse.delta import Once, append, replace_all
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.lambda_layers import TOPICS, Offsets, batch_table, newest_hand_over, open_layers
from lakehouse.produce import send_day
from lakehouse.settings import ROOT, Settings
from tests.command import lakehouse
from tests.threads import in_thread
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

DAY = date(2026, 3, 2)
SECONDS = 200


def ingest(settings: Settings, before: Offsets) -> Offsets:
    """What Kappa, which does not run here, would have written by now of the records since `before`."""
    ends = {topic: kafka_ends(settings)[topic] for topic in TOPICS}
    reference = Reference.read(settings, ends)
    for topic in TOPICS:
        name = f"bronze.{topic.removeprefix('shop.')}"
        for partition in reference.partitions:
            rows = reference.stored(name, partition)
            fresh = rows.filter(rows["offset"] >= before.get(topic, {}).get(partition, 0))
            append(settings, name, to_arrow(name, fresh), Once.new("test"))
    for name in LAMBDA_METRICS.values():
        rows = reference.frame(name)
        marked = rows.with_columns(pl.lit("reference").alias(column) for column in table(name).not_compared)
        replace_all(settings, name, to_arrow(name, marked), Once.new("test"))
    return ends


def served(settings: Settings, ends: Offsets) -> bool:
    """Whether every view adds to the newest batch run and has counted up to `ends`."""
    versions = newest_hand_over(settings).versions
    layers = {metric: open_layers(settings, metric) for metric in LAMBDA_METRICS}
    return all(
        each.speed is not None and each.batch.version() == versions[batch_table(metric)] and each.ends == ends
        for metric, each in layers.items()
    )


def test_wherever_the_cut_lies_the_views_equal_kappas_tables(
    stack: "Stack", seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "lambda"})
    monkeypatch.setattr(speed, "FLUSH_SECONDS", 1.0)
    create_topics(settings)
    send_day(settings, ShopDay(DAY, 3000, 60, seed, duplicates=0.05, broken=0.02), unsafe=True)
    ends = ingest(settings, {})
    with in_thread(speed.run, settings, stops_in=None):
        until(lambda: served(settings, ends), SECONDS, "the speed layer alone has counted all")
        assert_equal(settings)

        cut = {topic: {p: end * 2 // 3 for p, end in partitions.items()} for topic, partitions in ends.items()}
        environment = os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace}
        command = [sys.executable, "-m", "jobs.batch.lambda_batch", "--cut", json.dumps(cut)]
        subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=SECONDS)
        assert newest_hand_over(settings).cut == cut
        until(lambda: served(settings, ends), SECONDS, "the speed layer goes on from the cut")
        assert_equal(settings)
        assert all(compare_served(settings, metric).batch_rows for metric in LAMBDA_METRICS)

        # The same day goes on, events behind the cut among them, and the same users.
        send_day(settings, ShopDay(DAY, 800, 20, seed + 1, duplicates=0.05, broken=0.02), unsafe=True)
        ends = ingest(settings, ends)
        until(lambda: served(settings, ends), SECONDS, "the speed layer has counted what came since")

    compared = lakehouse(settings, "lambda", "compare")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    # As the demo does it, with another cut: both layers to the end of the log, and a report.
    beside = lakehouse(settings, "lambda", "beside", "--share", "0.5")
    assert beside.returncode == 0, beside.stdout + beside.stderr
    page = Path(beside.stdout.rpartition("Report: ")[2].strip())
    assert "Equal, row for row" in page.read_text()
    assert json.loads((page.parent / "result.json").read_text())["live"][0]["used"]["batch"]["cpu_seconds"] > 0
    rows = lakehouse(settings, "lambda", "read", "region_revenue_daily", "--format", "csv").stdout.splitlines()
    assert len(rows) > 1
    assert rows[0].startswith("region,purchases,revenue_cents")


def assert_equal(settings: Settings) -> None:
    for metric in LAMBDA_METRICS:
        found = compare_served(settings, metric).comparison
        assert found.equal, found.examples
