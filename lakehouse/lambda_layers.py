"""What the layers of the Lambda variant agree on: the names of their tables, the cut, and how it is handed over.

The cut says up to which offset of each partition the batch layer has counted; the speed layer counts from there on. It
lies in the commits: the last table that a batch run writes says the cut and the versions of all its tables (the
hand-over), and each table of the speed layer says which batch version its rows add to. So whoever merges the two finds
a pair that belongs together, whatever is written meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deltalake import DeltaTable

from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.contracts.tables import LAMBDA_EVENTS, LAMBDA_METRICS
from lakehouse.delta import TableMissingError, create_table, open_table
from lakehouse.delta.describe import newest_first
from lakehouse.delta.notes import Added, HandedOver
from lakehouse.settings import Settings

TOPICS: Final = (CLICKS.topic, PURCHASES.topic)

Offsets = Mapping[str, Mapping[int, int]]
"""By topic, without namespace, and partition: the first offset that does not count. A missing one is 0."""


def batch_table(metric: str) -> str:
    return f"lambda.batch_{metric}"


def speed_table(metric: str) -> str:
    return f"lambda.speed_{metric}"


BATCH_TABLES: Final = (LAMBDA_EVENTS.name, *map(batch_table, LAMBDA_METRICS))
"""In the order in which a batch run writes them; the last one's commit is the hand-over."""
SPEED_TABLES: Final = tuple(map(speed_table, LAMBDA_METRICS))


@dataclass(frozen=True, slots=True)
class HandOver:
    """A finished batch run: its `cut`, and by table the version that it wrote. Before the first run: nothing counted,
    and the tables as they are created. `topics`: the ids of the topics that the cut is of, where they were noted."""

    cut: Offsets = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(BATCH_TABLES, 0))
    topics: Mapping[str, str] = field(default_factory=dict)


def newest_hand_over(settings: Settings) -> HandOver:
    """Of the last batch run that finished; creates the tables that do not exist yet.

    Raises:
        ServiceDownError: MinIO does not answer.
        TableError: as `lakehouse.delta.create_table`.
    """
    opened = [create_table(settings, name) for name in BATCH_TABLES]
    for commit in newest_first(opened[-1]):
        if isinstance(note := commit.note, HandedOver):
            return HandOver(note.cut, note.versions | {BATCH_TABLES[-1]: commit.version}, note.topics)
    return HandOver()


@dataclass(frozen=True, slots=True)
class Layers:
    """A metric's two tables, open at versions that belong together; `speed` is None where nothing was added yet.
    `ends`: up to where both together have counted."""

    batch: DeltaTable
    speed: DeltaTable | None
    ends: Offsets


def open_layers(settings: Settings, metric: str) -> Layers:
    """The newest rows of the speed layer and the batch version that they add to; without any, the newest batch.

    Raises:
        TableMissingError: no batch run has finished and no speed layer has run.
        ServiceDownError: MinIO does not answer.
    """
    try:
        speed = open_table(settings, speed_table(metric))
    except TableMissingError:
        speed = None
    if speed is not None:
        # Compaction commits too, and says nothing.
        note = next((c.note for c in newest_first(speed) if isinstance(c.note, Added)), None)
        if note is not None:
            return Layers(open_table(settings, batch_table(metric), note.batch_version), speed, note.ends)
    hand_over = newest_hand_over(settings)
    return Layers(
        open_table(settings, batch_table(metric), hand_over.versions[batch_table(metric)]), None, hand_over.cut
    )
