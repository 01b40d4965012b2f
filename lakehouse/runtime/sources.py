"""What the position of a job with checkpoints rests on: the topics in which it was taken, and what they still have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

import polars as pl

from lakehouse.checkpoints import Checkpoint, Positions, current_checkpoint, keep_checkpoint
from lakehouse.contracts.jobs import Engine, JobSpec
from lakehouse.contracts.tables import TABLES
from lakehouse.delta import TableMissingError, scan
from lakehouse.drained.positions import flink_positions, group_positions
from lakehouse.losses import Loss, RecordsLostError, beginnings, find_losses
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import spark_positions


class Held(Protocol):
    """Where a job that has no checkpoints keeps how far it is. Every method raises `ServiceDownError`."""

    def positions(self) -> Positions:
        """The next offsets, by topic and partition."""
        ...

    def topics(self) -> Mapping[str, str]:
        """The ids of the topics that these are of, as far as they were noted."""
        ...

    def move(self, positions: Positions, topics: Mapping[str, str], by: str, /) -> None:
        """Lets the job go on at `positions` of the topics with these ids, because `by` says so."""
        ...


def verify_sources(settings: Settings, job: JobSpec, *, fresh: bool, start: Positions | None = None) -> Checkpoint:
    """That `job` will jump over no record when it starts; what its checkpoint directory says of its topics, which is
    kept from its first start on.

    `fresh`: it starts without a checkpoint, at `start` or with the first records that its topics have.

    Raises:
        RecordsLostError: it would jump over records.
        ReadError: there is no such topic.
        ServiceDownError: Kafka or MinIO does not answer.
    """
    checkpoint, topics = current_checkpoint(settings, job.name), job.topics
    if fresh:
        checkpoint = replace(checkpoint, topics={}, start=start or beginnings(settings, topics))
    positions = (checkpoint.start or {}) if fresh else positions_of(settings, job)
    now, found = find_losses(settings, topics, positions, checkpoint.topics)
    if losses := _unwritten(settings, job, found):
        raise RecordsLostError(job.name, losses)
    verified = replace(checkpoint, topics=now)
    return checkpoint if verified == checkpoint else keep_checkpoint(settings, verified)


def losses_of(settings: Settings, job: JobSpec, held: Held | None = None, *, running: bool = False) -> Sequence[Loss]:
    """What `job` had not read and Kafka no longer has. `held`: its positions, of one without checkpoints.

    Of one that is `running` only topics that were made anew count: it is further than the position that it has told,
    which the log may have lost meanwhile. Raises as `verify_sources`, but for losses.
    """
    if held is not None:
        return find_losses(settings, job.topics, held.positions(), held.topics())[1]
    ids = current_checkpoint(settings, job.name).topics
    if not ids:
        return ()  # it has never started
    _, losses = find_losses(settings, job.topics, positions_of(settings, job), ids)
    return _unwritten(settings, job, [each for each in losses if each.made_anew or not running])


def _unwritten(settings: Settings, job: JobSpec, losses: Sequence[Loss]) -> Sequence[Loss]:
    """Of `losses` what a Flink job has not written: it may have ended between a checkpoint and telling its group, so
    that its position is beyond what it has told. (A batch of Spark's that wrote something is done again as a whole.)"""
    if job.engine is not Engine.FLINK or not losses:
        return losses
    tables = [name for name in job.writes if name in TABLES and "offset" in TABLES[name].column_names]
    reached = {(each.topic, each.partition): each.first or 0 for each in losses}
    for name in tables:
        of_topics = pl.col("topic").is_in({each.topic for each in losses})
        try:
            rows = scan(settings, name).filter(of_topics).group_by("topic", "partition").agg(pl.max("offset")).collect()
        except TableMissingError:
            continue
        for topic, partition, offset in rows.iter_rows():
            reached[topic, partition] = max(reached.get((topic, partition), 0), offset + 1)
    kept = [each if each.end is None else replace(each, first=reached[each.topic, each.partition]) for each in losses]
    return [each for each in kept if each.end is None or cast(int, each.first) < each.end]


def positions_of(settings: Settings, job: JobSpec) -> Positions:
    """The next offsets that `job` is to read: of Spark by its checkpoint, of Flink by its group. Raises
    ServiceDownError."""
    return flink_positions(settings, job.name) if job.engine is Engine.FLINK else spark_positions(settings, job.name)


def starts_past_losses(settings: Settings, job: JobSpec, checkpoint: Checkpoint) -> bool:
    """Whether the state of a Flink job is behind what somebody has accepted as lost: it must be let jump over that.
    `checkpoint`: what its directory says. Raises ServiceDownError."""
    told, accepted = group_positions(settings, job.name), checkpoint.start or {}
    return any(
        told.get(topic, {}).get(p, 0) < offset for topic, of_topic in accepted.items() for p, offset in of_topic.items()
    )
