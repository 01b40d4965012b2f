"""Losses that somebody has accepted, as rows of `ops.ledger`."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import polars as pl

from lakehouse.delta import TableMissingError, append_ops, scan
from lakehouse.kafka.offsets import first_arrivals
from lakehouse.losses.found import Loss, in_words
from lakehouse.settings import Settings

LEDGER: Final = "ops.ledger"
LOST: Final = "lost"
"""The layer of their rows."""


@dataclass(frozen=True, slots=True)
class KnownLoss:
    """What `job` goes on without. `arrived_before`: of a topic that was made anew, all records of the one that is gone
    arrived before this."""

    job: str
    loss: Loss
    arrived_before: datetime | None = None


def record_losses(settings: Settings, job: str, losses: Iterable[Loss], by: str) -> None:
    """Writes down that `job` goes on without these records because `by` said so. Again the same is the same.

    Raises ServiceDownError, and what `lakehouse.delta.append` raises.
    """
    now, run_id = datetime.now(UTC), str(uuid.uuid4())
    losses = tuple(losses)
    boundaries = {each.topic: _boundary(settings, each.topic) for each in losses if each.made_anew}
    rows = [
        {
            "run_id": run_id,
            "audited_at": now,
            "layer": LOST,
            "table": None,
            "version": None,
            "topic": each.topic,
            "topic_id": each.topic_id,
            "partition": each.partition,
            "first_offset": each.first,
            "end_offset": each.end,
            "records": each.offsets or 0,
            "hash_sum": 0,
            "lost": 0,
            "doubled": 0,
            "altered": 0,
            "named": f"{in_words([each])}; accepted by {by}",
            "job": job,
            "arrived_before": boundaries.get(each.topic) if each.made_anew else None,
        }
        for each in losses
    ]
    append_ops(settings, LEDGER, rows)


def _boundary(settings: Settings, topic: str) -> datetime:
    """No record of `topic` as it is now arrived before this, and none of its predecessor after it."""
    first = min(first_arrivals(settings, topic).values(), default=None)
    return datetime.now(UTC) if first is None else datetime.fromtimestamp(first / 1000, UTC)


def known_losses(settings: Settings, topics: Collection[str]) -> dict[str, list[KnownLoss]]:
    """By topic, what jobs go on without, in the order in which it was written down.

    Raises ServiceDownError.
    """
    found: dict[str, list[KnownLoss]] = {topic: [] for topic in topics}
    try:
        kept = scan(settings, LEDGER).filter(pl.col("topic").is_in(list(topics)), layer=LOST)
    except TableMissingError:
        return found
    columns = ["job", "topic", "topic_id", "partition", "first_offset", "end_offset"]
    rows = (
        kept.sort("audited_at", "partition")
        .group_by(columns, maintain_order=True)
        .agg(pl.col("arrived_before").first())
        .collect()
    )
    for job, *loss, before in rows.iter_rows():
        found[loss[0]].append(KnownLoss(job, Loss(*loss), before))
    return found
