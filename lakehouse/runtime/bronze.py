"""Where ingest begins that has no state: where the commits of its tables say that they end."""

from bisect import bisect_left
from collections.abc import Mapping

import polars as pl
from deltalake import DeltaTable

from lakehouse.checkpoints import current_checkpoint
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.owners import INGEST
from lakehouse.contracts.tables import BRONZE, DEAD_LETTERS, INGESTED
from lakehouse.cuts import CARRIED_OVER, ends_of, read_of
from lakehouse.delta import VersionMissingError, open_table, scan_opened
from lakehouse.delta.files import paths
from lakehouse.kafka.consumer import count_records, stable_ranges
from lakehouse.kafka.groups import move_group
from lakehouse.kafka.topics import topic_ids
from lakehouse.runtime.protocol import SubmissionFailedError
from lakehouse.settings import Settings

Offsets = Mapping[int, int]
"""By partition."""


def begin_where_bronze_ends(settings: Settings) -> None:
    """Sets the group's offsets, at which new state begins. A partition of which bronze has nothing is read from the
    first record that Kafka still has; one whose log begins beyond what bronze has, though nobody has accepted the loss,
    lets the job fail, and be told.

    Raises:
        SubmissionFailedError: a table has rows, and no commit says how far the topics were read; or the tables have the
            last checkpoint in part.
        TableError, ServiceDownError, ReadError: a table, a topic or a service is not there.
    """
    opened = {name: open_table(settings, name + INGESTED) for name in BRONZE}
    ids, ranges = topic_ids(settings, EVENTS), stable_ranges(settings, tuple(EVENTS))
    ends = ends_of(opened, ids, {topic: low for topic, (low, _) in ranges.items()})
    if not any(end for each in ends.values() for end in each.values()):
        _require_empty(opened)
    accepted = current_checkpoint(settings, INGEST).start or {}
    for topic, (low, _) in ranges.items():
        _require_whole(settings, opened, topic, ids[topic], ends[topic])
        past = accepted.get(topic, {})
        move_group(
            settings, INGEST, topic, {p: max(ends[topic][p] or first, past.get(p, 0)) for p, first in low.items()}
        )


def _require_empty(opened: Mapping[str, DeltaTable]) -> None:
    for name, table in opened.items():
        if paths(table):
            raise SubmissionFailedError(
                f"{name + INGESTED} has rows that {INGEST} has not written, and it would write them again: what the "
                f"Spark driver has made is not carried over. Set LAKEHOUSE_CORE=spark, or start a new installation "
                f"with another LAKEHOUSE_HOME"
            )


def _require_whole(
    settings: Settings, opened: Mapping[str, DeltaTable], topic: str, topic_id: str, ends: Offsets
) -> None:
    """A checkpoint commits to one table after the other: what of its records is in none, only its state had."""
    tables = (f"bronze.{EVENTS[topic].table}", DEAD_LETTERS)
    spans: dict[int, tuple[int, int]] = {}
    for name in tables:
        newest = read_of(opened[name], topic, topic_id, ends)
        furthest = {p: end for p, end in ends.items() if end and newest[p] == end}
        before = _before(settings, name + INGESTED, opened[name], topic, topic_id, furthest) if furthest else {}
        for p, end in furthest.items():
            if before[p] < end:
                spans[p] = (min(before[p], spans.get(p, (end, end))[0]), end)
    if not spans:
        return
    wanted = count_records(settings, {(topic, p): span for p, span in spans.items()})
    partition, offset = pl.col("partition"), pl.col("offset")
    of_spans = [(partition == p) & (offset >= first) & (offset < end) for p, (first, end) in spans.items()]
    held = pl.concat(
        scan_opened(settings, name + INGESTED, opened[name])
        .filter(pl.col("topic") == topic, pl.any_horizontal(of_spans))
        .select(partition)
        for name in tables
    )
    rows = dict(held.group_by(partition).len().collect().iter_rows())
    for p, (first, end) in spans.items():
        if rows.get(p, 0) < wanted[topic, p]:
            raise SubmissionFailedError(
                f"bronze has {rows.get(p, 0):,} of {wanted[topic, p]:,} records of {topic}[{p}] from {first} to "
                f"{end - 1}: it has the last checkpoint of {INGEST} in part, and the rest would be lost. Restore the "
                f"job's checkpoints; see docs/flink-delta.md, New state"
            )


def _before(settings: Settings, stored: str, newest: DeltaTable, topic: str, topic_id: str, now: Offsets) -> Offsets:
    """What the table's commits said before they said `now`; the same where nobody can tell any more."""

    def said_now(version: int) -> bool:
        try:
            return read_of(open_table(settings, stored, version), topic, topic_id, now) == now
        except VersionMissingError:
            return False

    whole = newest.transaction_version(CARRIED_OVER)  # the version of the commit itself
    first = bisect_left(range(int(newest.version())), True, lo=whole or 0, key=said_now)  # what they say only grows
    if first == whole:
        return now
    if not first:
        return dict.fromkeys(now, 0)
    try:
        return read_of(open_table(settings, stored, first - 1), topic, topic_id, now)
    except VersionMissingError:
        return now
