"""The cut of a migration: up to where a batch job reads a topic, and from where a stream goes on.

It is kept in the new table's own metadata, so that it lives and dies with what was written by it. Whoever comes first,
the batch job or the stream, takes it; the other finds it. So each offset belongs to one of the two, whatever is started
when, killed and started again.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from deltalake import CommitProperties
from deltalake.exceptions import DeltaError

from lakehouse.delta import CommitRefusedError, create_table
from lakehouse.kafka.consumer import stable_ranges
from lakehouse.kafka.topics import topic_ids
from lakehouse.settings import Settings

PROPERTY: Final = "lakehouse.cut"
CHUNK_RECORDS: Final = 250_000
_ATTEMPTS: Final = 8

Offsets = Mapping[int, int]


class CutVoidError(RuntimeError):
    """The topic of a cut was deleted, and another has its name."""

    def __init__(self, table: str, topic: str) -> None:
        super().__init__(
            f"{topic} was deleted and made anew since {table} took its cut, whose offsets mean nothing in it: what the "
            f"table holds is all that can be migrated; to migrate the new topic, move the table away and begin again"
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """Offsets of a topic (without namespace) by partition: the backlog is ``[first, end)``, the stream's from `end` on.

    The backlog is written in chunks, each of at most `step` offsets of every partition.
    """

    topic: str
    first: Offsets
    end: Offsets
    step: int
    topic_id: str | None = None
    """Of the topic that the offsets are of; None: nobody noted it."""

    @classmethod
    def parse(cls, text: str) -> "Cut":
        stored = json.loads(text)
        bounds = {name: {int(p): offset for p, offset in stored[name].items()} for name in ("first", "end")}
        return cls(stored["topic"], bounds["first"], bounds["end"], stored["step"], stored.get("topic_id"))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def chunks(self) -> Iterator[tuple[Offsets, Offsets]]:
        """The backlog's stretches in order, as first offsets and ends; the same ones whenever they are asked for."""
        starts = dict(self.first)
        while any(starts[p] < self.end[p] for p in starts):
            ends = {p: min(start + self.step, self.end[p]) for p, start in starts.items()}
            yield starts, ends
            starts = ends


def take_cut(settings: Settings, table: str, topic: str, chunk_records: int = CHUNK_RECORDS) -> Cut:
    """The cut of `table`; taken now, where the topic ends, if it has none. Creates the table if need be.

    Raises:
        CutVoidError: it was taken in a topic that is gone.
        ServiceDownError: Kafka or MinIO does not answer.
        CommitRefusedError: other writers won every attempt.
        TableError: as `lakehouse.delta.create_table`.
    """
    for _ in range(_ATTEMPTS):
        opened = create_table(settings, table)
        stored = opened.metadata().configuration.get(PROPERTY)
        topic_id = topic_ids(settings, [topic])[topic]
        if stored is not None:
            taken = Cut.parse(stored)
            if taken.topic_id not in (None, topic_id):
                raise CutVoidError(table, topic)
            return taken
        first, end = stable_ranges(settings, [topic])[topic]
        cut = Cut(topic, first, end, max(1, chunk_records // max(1, len(end))), topic_id)
        try:
            # Of two that take a cut at once, the one that comes late is refused: the metadata it read is outdated.
            opened.alter.set_table_properties(
                {PROPERTY: str(cut)},
                raise_if_not_exists=False,
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except (DeltaError, OSError) as error:
            last_error = error
    raise CommitRefusedError(table, _ATTEMPTS) from last_error
