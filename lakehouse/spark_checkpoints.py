"""Checkpoints of Spark's streams in object storage: how far a stream is.

Spark writes ``offsets/N`` before it runs batch N and ``commits/N`` when all of it is done; ``metadata`` holds the id of
the query.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.checkpoints import Checkpoint, Positions, current_checkpoint, read_object
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.kafka.offsets import parse_offsets
from lakehouse.object_store import build_client
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class SparkBatch:
    """A micro-batch that is done; `at`: when."""

    number: int
    at: datetime


def spark_positions(settings: Settings, job: str = SPARK_INGEST) -> Positions:
    """Where the last micro-batch that a Spark job has committed ended: its tables hold all before that.

    Raises ServiceDownError.
    """
    checkpoint = current_checkpoint(settings, job)
    last = _last_batch(settings, checkpoint)
    if last is None:
        return checkpoint.start or {}
    stored = read_object(settings, f"{checkpoint.key(settings)}/offsets/{last.number}")
    return parse_spark_offsets(settings, stored) if stored is not None else {}


def last_spark_batch(settings: Settings, job: str) -> SparkBatch | None:
    """The last micro-batch that a Spark job has committed since its checkpoint began; None without one.

    Raises ServiceDownError.
    """
    return _last_batch(settings, current_checkpoint(settings, job))


def query_id(settings: Settings, checkpoint: Checkpoint) -> str | None:
    """The id that Spark gave the query of a checkpoint; None before its first start. Raises ServiceDownError."""
    stored = read_object(settings, f"{checkpoint.key(settings)}/metadata")
    return str(json.loads(stored)["id"]) if stored else None


def parse_spark_offsets(settings: Settings, log: str) -> Positions:
    """The positions in a file of Spark's offset log: a version, metadata, then each source's JSON or ``-``."""
    positions: dict[str, dict[int, int]] = {}
    for line in log.splitlines()[2:]:
        if line.startswith("{"):
            for topic, partitions in parse_offsets(json.loads(line)).items():
                positions.setdefault(settings.unprefixed(topic), {}).update(partitions)
    return positions


def _last_batch(settings: Settings, checkpoint: Checkpoint) -> SparkBatch | None:
    try:
        done = [
            SparkBatch(int(name), found.last_modified)
            for found in build_client(settings).list_objects(settings.bucket, f"{checkpoint.key(settings)}/commits/")
            if (name := (found.object_name or "").rpartition("/")[2]).isdecimal() and found.last_modified
        ]
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    except S3Error as error:
        if error.code == "NoSuchBucket":
            return None
        raise
    return max(done, key=lambda batch: batch.number, default=None)
