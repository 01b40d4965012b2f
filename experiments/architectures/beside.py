"""Lambda over an installation's own log, beside its Kappa: both layers once, and their views against Kappa's tables."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from experiments.architectures.equality import compare_served
from experiments.architectures.meter import measured, stored
from experiments.architectures.result import Compared, Live, Result
from experiments.architectures.run import BATCH, LAYERS, SPEED
from infra.local.machine import describe
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import LAMBDA_METRICS
from lakehouse.drained import kafka_ends
from lakehouse.lambda_layers import SPEED_TABLES, TOPICS
from lakehouse.runtime.owners import owners_stopped
from lakehouse.settings import Settings

SHARE: Final = 0.9
"""Of each partition's records, what the batch layer counts; the rest is the speed layer's."""


def report_folder(settings: Settings) -> Path:
    """Below the reports that Airflow serves."""
    return settings.home.absolute() / "reports" / "architectures"


def run_layers(settings: Settings, share: float = SHARE, progress: Callable[[str], None] = lambda _doing: None) -> Live:
    """Runs the batch layer up to `share` of the log and the speed layer from there to its end; what they used.

    Raises:
        OwnerRunningError: the job `lambda_speed` runs.
        RuntimeError: a layer failed; the message names its log.
        ServiceDownError: a service does not answer.
    """
    ends = {topic: kafka_ends(settings)[topic] for topic in TOPICS}
    cut = {topic: {p: int(end * share) for p, end in partitions.items()} for topic, partitions in ends.items()}
    with owners_stopped(settings, SPEED_TABLES, JOBS.values()):
        progress("batch layer")
        batch = measured(settings, BATCH, "--cut", json.dumps(cut))
        progress("speed layer")
        speed = measured(settings, SPEED, "--to-end")
    records = sum(sum(partitions.values()) for partitions in ends.values())
    used = {"batch": batch, "speed": speed}
    return Live("lambda", records, used, {}, stored(settings, *LAYERS["lambda"]), None, batch_runs=1)


def compared_with_kappa(settings: Settings, live: Live) -> Result:
    """The views against Kappa's tables, which must have counted the same: call it once all is drained."""
    parameters = {"records": f"{live.records:,}"}
    result = Result(
        "Lambda beside Kappa", datetime.now(UTC).isoformat(timespec="seconds"), parameters, describe(), live=[live]
    )
    for metric, name in LAMBDA_METRICS.items():
        found = compare_served(settings, metric).comparison
        counts = (found.rows_compared, found.missing, found.unexpected, found.different)
        result.equality.append(Compared("this log", "lambda", found.table, name, *counts, found.equal))
    return result
