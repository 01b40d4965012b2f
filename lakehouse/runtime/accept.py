"""Going on without records that are lost, because somebody says so."""

from collections.abc import Sequence
from dataclasses import replace

from lakehouse.checkpoints import begin_checkpoint, current_checkpoint, keep_checkpoint
from lakehouse.contracts.jobs import Engine, JobSpec
from lakehouse.kafka.topics import topic_ids
from lakehouse.losses import Loss, beginnings, record_losses
from lakehouse.runtime.reconcile import adapter
from lakehouse.runtime.sources import Held, losses_of, positions_of
from lakehouse.runtime.wanted import Wanted, job_lock, migrate, wanted_state
from lakehouse.settings import Settings


def accept_losses(settings: Settings, job: JobSpec, by: str, held: Held | None = None) -> Sequence[Loss]:
    """Lets `job` go on without the records that it had not read and that Kafka no longer has; which those are.

    It is stopped, what is lost is written to `ops.ledger`, and its position moves to what its topics still have; it
    starts again if it is wanted. A Flink job one of whose topics was made anew begins with new state. Killed in
    between, this can be called again. `held`: its positions, of one without checkpoints. Raises as `verify_sources`,
    but for losses, and what the job's adapter raises.
    """
    migrate(settings)
    with job_lock(settings, job.name):
        losses = losses_of(settings, job, held)
        if not losses:
            return losses
        driver = adapter(settings, job)
        driver.cancel(job)
        record_losses(settings, job.name, losses, by)
        if held is None:
            _move_checkpoint(settings, job, losses)
        else:
            anew = _made_anew(losses)
            kept = {topic: {} if topic in anew else offsets for topic, offsets in held.positions().items()}
            moved = {
                topic: {p: max(kept.get(topic, {}).get(p, 0), first) for p, first in of_topic.items()}
                for topic, of_topic in beginnings(settings, job.topics).items()
            }
            held.move(moved, topic_ids(settings, job.topics), by)
        if wanted_state(settings, job.name).wanted is Wanted.RUNNING:
            driver.submit(job)
    return losses


def _made_anew(losses: Sequence[Loss]) -> set[str]:
    """The topics that are gone."""
    return {each.topic for each in losses if each.made_anew}


def _move_checkpoint(settings: Settings, job: JobSpec, losses: Sequence[Loss]) -> None:
    checkpoint, now = current_checkpoint(settings, job.name), topic_ids(settings, job.topics)
    anew = _made_anew(losses)
    held = {topic: dict(of_topic) for topic, of_topic in positions_of(settings, job).items() if topic not in anew}
    for each in losses:
        if each.end is not None:
            held.setdefault(each.topic, {})[each.partition] = each.end
    if job.engine is Engine.FLINK and not anew:
        # Its state stays; where it starts says that this much of the log is not missed.
        keep_checkpoint(settings, replace(checkpoint, start=held))
    elif job.state_in_tables:
        begin_checkpoint(settings, job.name, held, now)
    else:
        begin_checkpoint(settings, job.name, None, now)
