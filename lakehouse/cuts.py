"""A cut: the versions of the follower's tables, and of bronze, that follow from what Kafka's topics had up to one end.

All bronze tables have the checkpoints of Flink's ingest in common: a commit says of which it is and how far its rows go
(docs/flink-delta.md). At a cut whatever is read belongs together, though events keep coming.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from lakehouse.checkpoints import Positions
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.owners import INGEST
from lakehouse.contracts.tables import DEAD_LETTERS, FOLLOWED
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.read import scan_opened
from lakehouse.delta.write import append_ops, time_of_next
from lakehouse.settings import Settings

TABLE: Final = "ops.cuts"
CARRIED_OVER: Final = "carried_over"
"""Of a bronze table, the transaction of the commit that says how far another core has read: its rows are all there."""
_POLL_SECONDS: Final = 0.5


class NoCutError(TimeoutError):
    """There was none in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"no cut of what was to be in it within {seconds:.0f} s: do ingest and follower run? see: lakehouse job "
            f"status follower, lakehouse logs follower"
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """`ends`: by topic and partition, the offset after the last record of it; `versions`: by table; `checkpoint`: the
    last one of ingest that is in it."""

    checkpoint: int
    ends: Positions
    versions: Mapping[str, int]

    def covers(self, ends: Positions) -> bool:
        """Whether all is in it that the topics held up to `ends`."""
        return all(
            self.ends.get(topic, {}).get(partition, 0) >= end
            for topic, partitions in ends.items()
            for partition, end in partitions.items()
        )

    def older(self, versions: Mapping[str, int]) -> list[str]:
        """Those of its tables of which it has less than `versions`."""
        return [name for name, version in self.versions.items() if version < versions.get(name, 0)]


def checkpoint_of(opened: DeltaTable, generation: int) -> int:
    """The newest checkpoint of ingest that has committed to a bronze table; 0: none. Numbers of another `generation` of
    its state begin again."""
    return opened.transaction_version(f"checkpoint/{INGEST}@{generation}") or 0


def ends_of(
    opened: Mapping[str, DeltaTable], topic_ids: Mapping[str, str], partitions: Mapping[str, Collection[int]]
) -> Positions:
    """By topic and partition, the offset after the last record that is in bronze or a dead letter; 0: there is none of
    this topic, which may have been made anew. `opened`: `lakehouse.contracts.tables.BRONZE`."""
    ends = {}
    for topic, numbers in partitions.items():
        tables = (opened[f"bronze.{EVENTS[topic].table}"], opened[DEAD_LETTERS])
        said = [read_of(each, topic, topic_ids[topic], numbers) for each in tables]
        ends[topic] = {p: max(each[p] for each in said) for p in numbers}
    return ends


def read_of(opened: DeltaTable, topic: str, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """By partition, how far the commits of one bronze table say that the topic was read (docs/flink-delta.md); 0: they
    don't."""
    return {p: opened.transaction_version(read_id(topic, topic_id, p)) or 0 for p in partitions}


def read_id(topic: str, topic_id: str, partition: int) -> str:
    """The transaction by which a bronze table's commits say how far they have read a partition."""
    return f"read/{topic}@{topic_id}/{partition}"


def record_cut(settings: Settings, cut: Cut) -> None:
    """Raises what `lakehouse.delta.append` raises."""
    row = {
        "recorded_at": time_of_next(settings, TABLE, "recorded_at"),
        "checkpoint": cut.checkpoint,
        "ends": json.dumps(cut.ends),
        "versions": json.dumps(cut.versions),
    }
    append_ops(settings, TABLE, [row])


def newest_cut(settings: Settings) -> Cut | None:
    """Raises ServiceDownError: MinIO does not answer."""
    try:
        opened = open_table(settings, TABLE)
    except TableMissingError:
        return None
    files = pa.table(opened.get_add_actions(flatten=True))
    if not files.num_rows:
        return None
    newest = scan_opened(settings, TABLE, opened).filter(
        pl.col("recorded_at") >= pc.max(files["max.recorded_at"]).as_py()
    )
    row = newest.sort("recorded_at").tail(1).collect().row(0, named=True)
    ends = {topic: {int(p): end for p, end in each.items()} for topic, each in json.loads(row["ends"]).items()}
    versions = json.loads(row["versions"])
    # One of the follower while it ran in the shadow is of other tables.
    return Cut(row["checkpoint"], ends, versions) if f"{DERIVED[0]}{FOLLOWED}" in versions else None


def versions_of(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """The newest version of each table. Raises what `lakehouse.delta.open_table` raises."""
    return {name: int(open_table(settings, name).version()) for name in names}


def wait_for_cut(
    settings: Settings,
    ends: Positions,
    timeout_seconds: float,
    progress: Callable[[str], None] = lambda _said: None,
    versions: Mapping[str, int] | None = None,
) -> Cut:
    """The first cut that has all that the topics held up to `ends`, and of each table at least these `versions`;
    `progress` is told what is missing.

    Raises:
        NoCutError: not within the time.
        ServiceDownError: MinIO does not answer.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        cut = newest_cut(settings)
        if cut is not None and cut.covers(ends) and not cut.older(versions or {}):
            return cut
        progress("waiting for a cut" if cut is None else f"waiting for a cut after checkpoint {cut.checkpoint}")
        if time.monotonic() > deadline:
            raise NoCutError(timeout_seconds)
        time.sleep(_POLL_SECONDS)
