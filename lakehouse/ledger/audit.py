"""One audit: every record of Kafka up to given ends, in each layer that it must have reached."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import DEAD_LETTERS, TABLES
from lakehouse.delta import append_ops
from lakehouse.drained.positions import LIVE_DASHBOARD
from lakehouse.kafka.consumer import offset_range
from lakehouse.kafka.topics import topic_ids
from lakehouse.ledger.contents import VALUES, look
from lakehouse.ledger.derived import DERIVED
from lakehouse.ledger.findings import Account, Book, Finding, Kind, Sum
from lakehouse.ledger.logs import Log, logs_before, spans_lost
from lakehouse.ledger.ranges import KAFKA, Range, Span, read_ranges, recorded_ranges, spans, unread
from lakehouse.ledger.records import Trail
from lakehouse.ledger.routes import ROUTES, VARIANTS, Route
from lakehouse.ledger.rows import audit_rows, live_rows
from lakehouse.ledger.tables import Tables
from lakehouse.losses import KnownLoss, known_losses
from lakehouse.settings import Settings

Ends = Mapping[str, Mapping[int, int]]
"""End offsets (exclusive) by topic, without namespace, and partition."""

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""

LEDGER: Final = "ops.ledger"


class NothingToAuditError(RuntimeError):
    """No topic holds a record: nothing would be proved."""

    def __init__(self) -> None:
        super().__init__(
            "Kafka holds no record of any topic that is ingested: nothing to audit; see: lakehouse produce"
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of one run. `records`: how many were audited, by topic; `read`: how many of them were read from Kafka,
    not by an earlier audit. `notes` say what was not audited, and why.
    """

    run_id: str
    audited_at: datetime
    ends: Ends
    records: Mapping[str, int]
    read: int
    sums: tuple[Sum, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float
    seconds_by_step: Mapping[str, float] = field(default_factory=dict)
    lost_before: Mapping[str, int] = field(default_factory=dict)
    """By topic, how many offsets are known to be lost before the tables' jobs had read them."""

    @property
    def known_lost(self) -> int:
        """How many offsets are known to be lost before they were read. They are in no finding."""
        return sum(self.lost_before.values())

    @property
    def clean(self) -> bool:
        """Nothing is lost, doubled or altered, but for what is known to be lost."""
        return not self.findings

    def count(self, kind: Kind) -> int:
        """How many records, or rows of derived tables, are lost, doubled or altered."""
        return sum(f.records for f in self.findings if f.kind is kind)

    @property
    def verdict(self) -> str:
        """``0 lost, 0 doubled, 0 altered``."""
        return ", ".join(f"{self.count(kind):,} {kind}" for kind in Kind)

    @property
    def summary(self) -> str:
        """The verdict with the number of records that it is of, and what is known to be lost."""
        known = f"; {self.known_lost:,} known to be lost before they were read" if self.known_lost else ""
        return f"{self.verdict} of {sum(self.records.values()):,} records{known}"

    @property
    def accounts(self) -> list[Account]:
        """Where the records of each topic are."""
        found: dict[str, dict[str, int]] = {topic: {} for topic in self.ends}
        for each in self.sums:
            if each.topic in found and each.layer in Account.LAYERS:
                held = found[each.topic]
                held[each.layer] = held.get(each.layer, 0) + each.records
        return [
            Account(
                topic,
                self.records[topic],
                **{n: held.get(n, 0) for n in Account.LAYERS},
                known_lost=self.lost_before.get(topic, 0),
            )
            for topic, held in found.items()
        ]

    @property
    def derived(self) -> list[Sum]:
        """Of each table that is made of events, and of Redis: the events in its rows."""
        return [each for each in self.sums if each.table in DERIVED]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "run_id": self.run_id,
            "audited_at": self.audited_at.isoformat(),
            "clean": self.clean,
            **{str(kind): self.count(kind) for kind in Kind},
            "known_lost": self.known_lost,
            "records": sum(self.records.values()),
            "read_from_kafka": self.read,
            "seconds": round(self.seconds, 3),
            "seconds_by_step": {name: round(spent, 3) for name, spent in self.seconds_by_step.items()},
            "ends": {topic: dict(partitions) for topic, partitions in self.ends.items()},
            "accounts": [asdict(account) for account in self.accounts],
            "sums": [
                {
                    "layer": s.layer,
                    "table": s.table,
                    "version": s.version,
                    "topic": s.topic,
                    "partition": s.partition,
                    "first_offset": s.first,
                    "end_offset": s.end,
                    "records": s.records,
                    # As text: JSON's numbers end at 2**53.
                    "hash_sum": str(s.hash_sum),
                }
                for s in self.sums
            ],
            "findings": [
                {
                    "kind": str(f.kind),
                    "layer": f.layer,
                    "topic": f.topic,
                    "partition": f.partition,
                    "offsets": list(f.offsets),
                    "keys": list(f.keys),
                    "records": f.records,
                    "why": f.why,
                }
                for f in self.findings
            ],
            "notes": list(self.notes),
        }


def audit(
    settings: Settings,
    ends: Ends | None = None,
    *,
    live: bool = True,
    full: bool = False,
    variant: str | None = None,
    progress: Progress = lambda _doing: None,
) -> Audit:
    """Audits all that Kafka holds below `ends` (by default: now) and appends what it found to `ops.ledger`.

    Call it when the pipeline is drained up to `ends` (`lakehouse.drained`); more may arrive meanwhile. Kafka's records
    that an earlier audit has read are not read again, nor are bronze's files that it found clean, unless `full`.
    Without `live`, Redis is left out. `variant`: audit this table alone, which somebody else fills with the records of
    a bronze table (`VARIANTS`), for instance a migration's.

    Raises:
        ValueError: no such variant.
        NothingToAuditError: there is no record at all.
        ServiceDownError: Kafka, MinIO or Redis does not answer.
        ReadError: Kafka went silent, or lost records while they were read.
    """
    if variant is not None and variant not in VARIANTS:
        raise ValueError(f"{variant} is no variant of a bronze table; those that are: {', '.join(VARIANTS)}")
    return _Run(settings, live, full, variant, progress).run(ends)


class _Run:
    def __init__(self, settings: Settings, live: bool, full: bool, variant: str | None, progress: Progress) -> None:
        self._settings = settings
        self._live = live
        self._full = full
        self._variant = variant
        self._routes = ROUTES if variant is None else {VARIANTS[variant].topic: VARIANTS[variant]}
        self._progress = progress
        self._run_id = str(uuid.uuid4())
        self._audited_at = datetime.now(UTC)
        self._tables = Tables(settings)
        self._book = Book()
        self._seconds: dict[str, float] = {}
        self._ids: dict[str, str] = {}
        self._read = 0

    def run(self, ends: Ends | None) -> Audit:
        began = time.monotonic()
        bounds = {topic: offset_range(self._settings, topic) for topic in self._routes if ends is None or topic in ends}
        ends = {topic: (high if ends is None else ends[topic]) for topic, (_, high) in bounds.items()}
        if not any(end for partitions in ends.values() for end in partitions.values()):
            raise NothingToAuditError
        if self._variant is None:
            self._book.notes += [f"{topic}: nobody ingests it" for topic in EVENTS if topic not in ROUTES]
        starts = {topic: low for topic, (low, _) in bounds.items()}
        with self._step("read Kafka"):
            ranges = {topic: self._ranges(self._routes[topic], starts[topic], ends[topic]) for topic in ends}
        with self._step("values"):
            altered = self._look(ends)
        with self._step("records"):
            known = known_losses(self._settings, ends)
            self._follow(ranges, starts, ends, altered, known)
        if self._variant is None:
            with self._step("derived rows"):
                self._derive(ends, known)
        self._write()
        return Audit(
            self._run_id,
            self._audited_at,
            ends,
            {topic: sum(r.records for r in each) for topic, each in ranges.items()},
            self._read,
            tuple(self._book.sums),
            tuple(self._book.findings),
            tuple(self._book.notes),
            time.monotonic() - began,
            self._seconds,
            self._book.lost_before,
        )

    def _step(self, name: str) -> "_Step":
        return _Step(self._seconds, name)

    # Kafka

    def _ranges(self, route: Route, starts: Mapping[int, int], ends: Mapping[int, int]) -> list[Range]:
        topic = route.topic
        topic_id = self._ids[topic] = topic_ids(self._settings, [topic])[topic]
        recorded = recorded_ranges(self._settings, topic, topic_id, ends)
        kept: list[Range] = []
        owed: dict[int, list[Span]] = {}
        again: dict[tuple[int, int], Range] = {}
        for partition, end in ends.items():
            known, start = recorded.get(partition, []), starts[partition]
            retained = [r for r in known if self._full and r.first >= start]
            again |= {(partition, r.first): r for r in retained}
            kept += [r for r in known if not self._full or r.first < start]
            of_partition = [(r.first, r.end) for r in retained]
            for first, until in unread(known, end):
                if first < start:
                    self._book.notes.append(
                        f"{topic}[{partition}] offsets {first}-{min(until, start) - 1}: retention removed them before "
                        f"any audit had read them"
                    )
                of_partition += spans(max(first, start), until)
            owed[partition] = sorted(of_partition)
        read = read_ranges(self._settings, topic, owed, lambda records: self._count(topic, records))
        for each in read:
            before = again.get((each.partition, each.first))
            if before is not None and before != each:
                self._book.count(
                    Kind.ALTERED,
                    KAFKA,
                    topic,
                    each.partition,
                    max(1, abs(before.records - each.records)),
                    f"offsets {each.first}-{each.end - 1} are not what an earlier audit has read",
                )
            if before is None:
                self._book.sums.append(
                    Sum(
                        KAFKA,
                        None,
                        None,
                        each.records,
                        each.hash_sum,
                        topic,
                        each.partition,
                        each.first,
                        each.end,
                        topic_id,
                    )
                )
        return sorted([*kept, *read], key=lambda r: (r.partition, r.first))

    def _count(self, topic: str, records: int) -> None:
        self._read += records
        self._progress(f"reading {topic} in Kafka: {self._read:,} records")

    # Tables

    def _look(self, ends: Ends) -> dict[str, dict[str, list[int]]]:
        """By topic and table, the positions of rows that are not what their value says."""
        altered: dict[str, dict[str, list[int]]] = {topic: {} for topic in ends}
        for name in (*(self._routes[topic].bronze for topic in ends), DEAD_LETTERS):
            opened = self._tables.pin(name)
            if opened is None:
                continue
            checked = 0

            def report(rows: int, name: str = name) -> None:
                nonlocal checked
                checked += rows
                self._progress(f"hashing the values in {name}: {checked:,} rows")

            found = look(self._settings, name, opened, self._full, report)
            for topic, positions in found.altered.items():
                # A row that names another topic than its table's, or none of ours, is altered too.
                own = topic in altered and name in (DEAD_LETTERS, self._routes[topic].bronze)
                where = topic if own else self._owner(name, ends)
                altered[where].setdefault(name, []).extend(positions)
            if not found.altered:
                self._book.sums.append(Sum(VALUES, name, int(opened.version()), found.records, found.hash_sum))
        return altered

    def _owner(self, name: str, ends: Ends) -> str:
        """The topic under which an altered row of `name` is told, if not under its own."""
        return next((topic for topic in ends if self._routes[topic].bronze == name), next(iter(ends)))

    def _follow(
        self,
        ranges: Mapping[str, list[Range]],
        starts: Ends,
        ends: Ends,
        altered: Mapping[str, Mapping[str, list[int]]],
        known: Mapping[str, Sequence[KnownLoss]],
    ) -> None:
        for topic in ends:  # the tables first: what lies beyond the log's end now, Kafka never had
            if silver := self._routes[topic].silver:
                self._tables.pin(silver)
            self._tables.pin(self._routes[topic].bronze)
        for topic in ends:
            route = self._routes[topic]
            self._progress(f"following {topic} into bronze and silver")
            log_ends = offset_range(self._settings, topic)[1]
            if not any(r.records for r in ranges[topic]):
                self._book.notes.append(f"{topic} has no records")
            present = Log(
                ranges[topic],
                ends[topic],
                log_ends,
                starts[topic],
                since=max((k.arrived_before for k in known[topic] if k.arrived_before is not None), default=None),
                lost=spans_lost(known[topic], self._ids[topic], ends[topic]),
            )
            logs = [*logs_before(self._settings, route, known[topic]), present]
            self._book.lost_before[topic] = 0
            Trail(self._settings, self._tables, route, logs, self._book).follow(altered[topic])

    def _derive(self, ends: Ends, known: Mapping[str, Sequence[KnownLoss]]) -> None:
        for derived in DERIVED.values():
            if not derived.live:
                self._progress(f"adding up {derived.name}")
                audit_rows(self._tables, derived, self._tables.scan(derived.name), self._book)
        for name in _undeclared():
            self._book.notes.append(f"{name}: nobody has declared what its events add up to")
        live = [derived for derived in DERIVED.values() if derived.live]
        if not self._live:
            self._book.notes.append(f"{', '.join(d.name for d in live)}: left out")
            return
        for derived in live:
            self._progress(f"adding up {derived.name}")
            rows = live_rows(self._settings, derived)
            # Redis has no versions: what comes meanwhile is in it already, and not in the pinned tables.
            topics = [topic for topic in ends if self._routes[topic].silver in derived.sources]
            if unlike := [topic for topic in topics if _lost_apart(known[topic], LIVE_DASHBOARD)]:
                self._book.notes.append(
                    f"{derived.name}: left out, as {LIVE_DASHBOARD} and the tables have not lost the same records of "
                    f"{', '.join(unlike)}"
                )
            elif any(offset_range(self._settings, topic)[1] != ends[topic] for topic in topics):
                self._book.notes.append(f"{derived.name}: events came in meanwhile")
            else:
                audit_rows(self._tables, derived, rows, self._book)

    # The ledger

    def _write(self) -> None:
        self._progress(f"writing {LEDGER}")
        append_ops(self._settings, LEDGER, self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        run = {"run_id": self._run_id, "audited_at": self._audited_at}
        told: set[int] = set()
        for each in self._book.sums:
            concerned = [
                (i, f)
                for i, f in enumerate(self._book.findings)
                if f.layer == (each.table or each.layer) and (f.topic, f.partition) == (each.topic, each.partition)
            ]
            told |= {i for i, _ in concerned}
            yield run | _row(each, [f for _, f in concerned])
        for index, finding in enumerate(self._book.findings):
            if index not in told:
                stray = Sum(finding.layer.split(".")[0], finding.layer, None, 0, 0, finding.topic, finding.partition)
                yield run | _row(stray, [finding])


def _lost_apart(known: Sequence[KnownLoss], job: str) -> bool:
    """Whether `job` lacks other records than the tables do. Of a topic that was made anew it begins again, and they
    go on."""
    of_job, others = ({e.loss for e in known if (e.job == job) is own} for own in (True, False))
    return of_job != others or any(each.made_anew for each in of_job)


def _undeclared() -> list[str]:
    """Tables with fingerprints that `DERIVED` does not know; a variant of one has the same sums, if it is written."""
    return [
        name
        for name, contract in TABLES.items()
        if "fingerprint" in contract.column_names and name not in DERIVED and contract.variant_of is None
    ]


def _row(each: Sum, findings: list[Finding]) -> dict[str, Any]:
    return {
        "layer": each.layer,
        "table": each.table,
        "version": each.version,
        "topic": each.topic,
        "topic_id": each.topic_id,
        "partition": each.partition,
        "first_offset": each.first,
        "end_offset": each.end,
        "records": each.records,
        "hash_sum": each.hash_sum,
        **{str(kind): sum(f.records for f in findings if f.kind is kind) for kind in Kind},
        "named": "\n".join(map(str, findings)) or None,
        "job": None,
        "arrived_before": None,
    }


class _Step:
    """Adds the seconds of its block to those of its name."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + time.monotonic() - self._began
