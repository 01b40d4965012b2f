"""Where the checkpoints of a job lie, and which topics the positions in them are of.

A job has one checkpoint directory at a time. Which one is said by one small object beside it, so that to begin a new
one is a single write. The same object keeps the ids that Kafka gave the topics when the directory was begun: a topic
that is deleted and made anew has the same name and other records, and offsets in the old one mean nothing in it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.kafka.offsets import parse_offsets
from lakehouse.object_store import build_client
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

Positions = Mapping[str, Mapping[int, int]]
"""The next offset to read, by topic (without namespace) and partition; a partition never read is missing."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint directory of `job` that counts; `number`: how many it had before."""

    job: str
    number: int = 0
    start: Positions | None = None
    """Where its stream begins; None: with the first records that its topics still have. A Flink job's state may be
    behind this, where somebody has accepted that the records in between are lost."""
    topics: Mapping[str, str] = field(default_factory=dict)
    """The ids of the topics that its positions are of; empty where nobody has noted them."""

    def location(self, settings: Settings, scheme: str = "s3a") -> str:
        path = settings.checkpoint_path(self.job, scheme)
        return f"{path}.{self.number}" if self.number else path

    def key(self, settings: Settings) -> str:
        """The location as the object store's clients want it."""
        return self.location(settings, "s3").removeprefix(f"s3://{settings.bucket}/")


def current_checkpoint(settings: Settings, job: str) -> Checkpoint:
    """The checkpoint directory that `job` goes on from. Raises ServiceDownError."""
    stored = read_object(settings, _pointer(settings, job))
    if stored is None:
        return Checkpoint(job)
    said = json.loads(stored)
    start = said["start"]
    return Checkpoint(job, said["number"], start if start is None else parse_offsets(start), said.get("topics", {}))


def begin_checkpoint(
    settings: Settings, job: str, start: Positions | None, topics: Mapping[str, str] | None = None
) -> Checkpoint:
    """Has the next start of `job`, which is stopped, begin a new checkpoint directory at `start`.

    `topics`: the ids of the topics that `start` is of; without them, those of the directory before. Raises
    ServiceDownError.
    """
    before = current_checkpoint(settings, job)
    kept = before.topics if topics is None else topics
    return keep_checkpoint(settings, Checkpoint(job, before.number + 1, start, kept))


def keep_checkpoint(settings: Settings, checkpoint: Checkpoint) -> Checkpoint:
    """Says of the directory that counts what `checkpoint` says. Raises ServiceDownError."""
    said = {name: value for name, value in asdict(checkpoint).items() if name != "job"}
    encoded = json.dumps(said).encode()
    try:
        build_client(settings).put_object(
            settings.bucket, _pointer(settings, checkpoint.job), BytesIO(encoded), len(encoded)
        )
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    return checkpoint


def _pointer(settings: Settings, job: str) -> str:
    return f"{Checkpoint(job).key(settings)}.current.json"


def read_object(settings: Settings, key: str) -> str | None:
    """The text of an object in the bucket; None where there is none. Raises ServiceDownError."""
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
