"""One comparison of everything: bronze and dead letters with Kafka, the other tables, Redis and alerts with the
reference, each once."""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from lakehouse.compare.accounting import Accounting, account
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.forgotten import Unproved
from lakehouse.compare.live import REDIS_PRODUCTS, REDIS_SESSIONS, compare_alerts, compare_redis
from lakehouse.compare.reference import Reference
from lakehouse.compare.said import DECISIONS, Said, compare_decisions, compare_sent, said_against_true
from lakehouse.compare.segments import Offsets
from lakehouse.compare.sent import SENT
from lakehouse.compare.tables import PinnedTable
from lakehouse.contracts.core import SPARK_STREAM
from lakehouse.contracts.owners import SPARK_STATE
from lakehouse.contracts.tables import BRONZE, TABLES, table
from lakehouse.delta.write import append_ops, time_of_next
from lakehouse.drained import kafka_ends
from lakehouse.kafka.topics import ALERTS
from lakehouse.semantics.reference import METRICS
from lakehouse.settings import Settings

LIVE: Final = (REDIS_PRODUCTS, REDIS_SESSIONS, ALERTS)
SAID: Final = (DECISIONS, SENT)
"""What was said at the time."""
COMPARED: Final = (*BRONZE, *METRICS, *((f"gold.{SPARK_STATE}",) if SPARK_STREAM else ()), *LIVE, *SAID)
"""All that is compared, in this order."""
VARIANTS: Final = tuple(
    name
    for name, contract in TABLES.items()
    if contract.variant_of in (*METRICS, *BRONZE) and contract.layer != "lambda" and name not in COMPARED
)
"""What is compared only when it is asked for. Of Lambda's layers neither is whole by itself (`lakehouse lambda`)."""

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""


class UnknownTargetError(LookupError):
    """Asked to compare what has no reference."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing to compare {name!r} with; comparable: {', '.join((*COMPARED, *VARIANTS))}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of one run. `offsets`: up to where Kafka was read, by topic and partition."""

    run_id: str
    compared_at: datetime
    offsets: Offsets
    tables: tuple[TableComparison, ...]
    accounting: Accounting
    seconds: float
    said: tuple[Said, ...] = ()
    """What was said about fraud against what is true, where decisions were compared."""
    unproved: tuple[Unproved, ...] = ()
    """Records that Kafka has forgotten, of which nothing proves that bronze has them as Kafka had."""

    @property
    def equal(self) -> bool:
        """Every table has rows and equals the reference, every record is accounted for and proved, nothing untrue was
        said."""
        right = all(t.equal for t in self.tables) and all(s.right for s in self.said)
        return bool(self.tables) and right and self.accounting.balanced and not self.unproved

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "run_id": self.run_id,
            "compared_at": self.compared_at.isoformat(),
            "equal": self.equal,
            "seconds": round(self.seconds, 3),
            "offsets": {topic: dict(partitions) for topic, partitions in self.offsets.items()},
            "tables": [asdict(t) | {"equal": t.equal} for t in self.tables],
            "accounting": self.accounting.to_dict(),
            "said": [asdict(s) | {"right": s.right} for s in self.said],
            "unproved": [asdict(each) for each in self.unproved],
        }


def compare(
    settings: Settings,
    names: Sequence[str] = (),
    ends: Offsets | None = None,
    progress: Progress = lambda _doing: None,
    mart_days: Collection[date] | None = None,
    versions: Mapping[str, int] = MappingProxyType({}),
) -> Comparison:
    """Compares `names` (of `COMPARED` and `VARIANTS`; all of `COMPARED` by default) once, with Kafka up to `ends` (by
    default its end now).

    Call it when the pipeline is drained up to `ends` and nothing more was sent. Every row is compared on every
    run: what costs time is to judge records, and that is done once per record (see `segments`). The result is
    also appended to `ops.comparisons`.

    Marts are built for the days that somebody asks for. `mart_days` are the days that they must hold, no more and no
    less; without it, they are compared on the days that they hold. `versions`: of tables that are not compared as they
    are now.

    Raises:
        UnknownTargetError: a name that is in neither.
        ServiceDownError: Kafka, MinIO or Redis does not answer.
        ReadError: retention removed records while they were read.
    """
    for name in names:
        if name not in COMPARED and name not in VARIANTS:
            raise UnknownTargetError(name)
    started, run_id = time.monotonic(), str(uuid.uuid4())
    compared_at = time_of_next(settings, "ops.comparisons", "compared_at")
    ends = kafka_ends(settings) if ends is None else ends
    progress("reading Kafka")
    reference = Reference.read(settings, ends)
    tables = tuple(compare_each(settings, reference, names or COMPARED, progress, mart_days, versions))
    said = said_against_true(settings, reference) if DECISIONS in (names or COMPARED) else ()
    progress("accounting")
    accounting = account(reference.log)
    took, unproved = time.monotonic() - started, tuple(reference.unproved)
    result = Comparison(run_id, compared_at, ends, tables, accounting, took, said, unproved)
    append_ops(
        settings,
        "ops.comparisons",
        [
            {"run_id": run_id, "compared_at": compared_at}
            | {
                column: getattr(t, column)
                for column in ("table", "version", "rows_compared", "missing", "unexpected", "different")
            }
            for t in tables
        ],
    )
    return result


def compare_each(
    settings: Settings,
    reference: Reference,
    names: Sequence[str],
    progress: Progress,
    mart_days: Collection[date] | None = None,
    versions: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[TableComparison]:
    """One at a time, so that memory holds one table twice and no more."""
    for name in names:
        progress(f"comparing {name}")
        if name in BRONZE or (name in VARIANTS and table(name).variant_of in BRONZE):
            yield compare_bronze(settings, reference, name, versions.get(name))
        elif name == ALERTS:
            yield compare_alerts(settings, reference)
        elif name == DECISIONS:
            yield compare_decisions(settings, reference)
        elif name == SENT:
            yield compare_sent(settings)
        elif name in LIVE:
            yield compare_redis(settings, reference, name)
        else:
            pinned = PinnedTable(settings, name, versions.get(name))
            expected, actual = reference.frame(name), pinned.frame()
            if table(name).layer == "marts":
                days = actual["event_date"].unique().to_list() if mart_days is None else list(mart_days)
                expected = expected.filter(pl.col("event_date").is_in(days))
            yield compare_frames(name, pinned.version, expected, actual, table(name).key, table(name).money_sums)


def compare_bronze(settings: Settings, reference: Reference, name: str, version: int | None = None) -> TableComparison:
    """Bronze with Kafka itself, a partition at a time: all records, raw bytes and hashes included."""
    pinned, key = PinnedTable(settings, name, version), table(name).key
    partition = pl.col("partition")
    slices = [
        compare_frames(name, pinned.version, reference.stored(name, p), pinned.frame(partition == p), key)
        for p in reference.partitions
    ]
    elsewhere = pinned.frame(~partition.is_in(reference.partitions))
    slices.append(compare_frames(name, pinned.version, elsewhere.clear(), elsewhere, key))
    return reduce(add, slices)
