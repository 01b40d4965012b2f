"""Checkpoints of Spark's streams in object storage: how far a stream is, and where a new checkpoint begins.

Spark writes ``offsets/N`` before it runs batch N and ``commits/N`` when all of it is done; ``metadata`` holds the id of
the query. A job has one checkpoint at a time. Which one is said by one small object beside them, so that to begin a new
one is a single write.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.kafka.offsets import parse_offsets
from lakehouse.object_store import build_client
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

Positions = Mapping[str, Mapping[int, int]]
"""The next offset to read, by topic (without namespace) and partition; a partition never read is missing."""


@dataclass(frozen=True, slots=True)
class SparkCheckpoint:
    """The checkpoint of `job` that counts; `number`: how many it had before."""

    job: str
    number: int = 0
    start: Positions | None = None
    """Where its stream begins; None: with the first records that its topics still have."""

    def location(self, settings: Settings, scheme: str = "s3a") -> str:
        path = settings.checkpoint_path(self.job, scheme)
        return f"{path}.{self.number}" if self.number else path


@dataclass(frozen=True, slots=True)
class SparkBatch:
    """A micro-batch that is done; `at`: when."""

    number: int
    at: datetime


def current_checkpoint(settings: Settings, job: str) -> SparkCheckpoint:
    """The checkpoint that `job` goes on from. Raises ServiceDownError."""
    stored = _read(settings, _pointer(settings, job))
    if stored is None:
        return SparkCheckpoint(job)
    said = json.loads(stored)
    return SparkCheckpoint(job, said["number"], parse_offsets(said["start"]))


def begin_checkpoint(settings: Settings, job: str, start: Positions) -> SparkCheckpoint:
    """Has the next start of `job`, which is stopped, begin a new checkpoint at `start`. Raises ServiceDownError."""
    checkpoint = SparkCheckpoint(job, current_checkpoint(settings, job).number + 1, start)
    said = json.dumps({"number": checkpoint.number, "start": start}).encode()
    try:
        build_client(settings).put_object(settings.bucket, _pointer(settings, job), BytesIO(said), len(said))
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    return checkpoint


def spark_positions(settings: Settings, job: str = SPARK_INGEST) -> Positions:
    """Where the last micro-batch that a Spark job has committed ended: its tables hold all before that.

    Raises ServiceDownError.
    """
    checkpoint = current_checkpoint(settings, job)
    last = _last_batch(settings, checkpoint)
    if last is None:
        return checkpoint.start or {}
    stored = _read(settings, f"{_key(settings, checkpoint)}/offsets/{last.number}")
    return parse_spark_offsets(settings, stored) if stored is not None else {}


def last_spark_batch(settings: Settings, job: str) -> SparkBatch | None:
    """The last micro-batch that a Spark job has committed since its checkpoint began; None without one.

    Raises ServiceDownError.
    """
    return _last_batch(settings, current_checkpoint(settings, job))


def query_id(settings: Settings, checkpoint: SparkCheckpoint) -> str | None:
    """The id that Spark gave the query of a checkpoint; None before its first start. Raises ServiceDownError."""
    stored = _read(settings, f"{_key(settings, checkpoint)}/metadata")
    return str(json.loads(stored)["id"]) if stored else None


def parse_spark_offsets(settings: Settings, log: str) -> Positions:
    """The positions in a file of Spark's offset log: a version, metadata, then each source's JSON or ``-``."""
    positions: dict[str, dict[int, int]] = {}
    for line in log.splitlines()[2:]:
        if line.startswith("{"):
            for topic, partitions in parse_offsets(json.loads(line)).items():
                positions.setdefault(settings.unprefixed(topic), {}).update(partitions)
    return positions


def _last_batch(settings: Settings, checkpoint: SparkCheckpoint) -> SparkBatch | None:
    try:
        done = [
            SparkBatch(int(name), found.last_modified)
            for found in build_client(settings).list_objects(settings.bucket, f"{_key(settings, checkpoint)}/commits/")
            if (name := (found.object_name or "").rpartition("/")[2]).isdecimal() and found.last_modified
        ]
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    except S3Error as error:
        if error.code == "NoSuchBucket":
            return None
        raise
    return max(done, key=lambda batch: batch.number, default=None)


def _key(settings: Settings, checkpoint: SparkCheckpoint) -> str:
    return checkpoint.location(settings, "s3").removeprefix(f"s3://{settings.bucket}/")


def _pointer(settings: Settings, job: str) -> str:
    return f"{_key(settings, SparkCheckpoint(job))}.current.json"


def _read(settings: Settings, key: str) -> str | None:
    try:
        answer = build_client(settings).get_object(settings.bucket, key)
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    except S3Error as error:
        if error.code in ("NoSuchKey", "NoSuchBucket"):
            return None
        raise
    try:
        return answer.read().decode()
    finally:
        answer.close()
        answer.release_conn()
