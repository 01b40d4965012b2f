"""What a demo run found. Plain data: whoever ran it fills it in, `lakehouse.report.render` shows it.

Seconds are floats, times are milliseconds since the epoch, shares lie between 0 and 1.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lakehouse.compare import Said
from lakehouse.ledger import Account


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the run, in order; `detail` is one short sentence ("1,010,000 records sent")."""

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that must hold; `detail` says what was seen ("94.2 % enriched, at least 90 % wanted")."""

    name: str
    held: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TableResult:
    """A table (or Redis key family) compared with the reference, row for row."""

    table: str
    rows_compared: int
    missing: int = 0
    """Rows of the reference that the table lacks."""
    unexpected: int = 0
    """Rows of the table that the reference lacks."""
    different: int = 0
    """Rows whose key both have, with another value in some column."""
    version: int | None = None
    """Delta version that was compared; None for what is no Delta table."""
    seconds: float | None = None

    @property
    def equal(self) -> bool:
        """Whether it was compared and nothing differed: a comparison of no rows proves nothing."""
        return self.rows_compared > 0 and not (self.missing or self.unexpected or self.different)


@dataclass(frozen=True, slots=True)
class TopicAccount:
    """Where a topic's records went: read = used + duplicate + dead; used = on time + late + very late."""

    topic: str
    read: int
    used: int
    duplicate: int
    dead: dict[str, int]
    """Dead letters by reason."""
    on_time: int
    late: int
    very_late: int

    @property
    def dead_letters(self) -> int:
        return sum(self.dead.values())

    @property
    def balanced(self) -> bool:
        return (
            self.read == self.used + self.duplicate + self.dead_letters
            and self.used == self.on_time + self.late + self.very_late
        )


@dataclass(frozen=True, slots=True)
class LedgerRows:
    """What a table made of events, or Redis, adds up to. `fingerprint`: the sum of the hashes behind it, as text."""

    table: str
    events: int
    fingerprint: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """One audit. `findings` and `notes` are sentences: what is wrong, and what was not audited, and why."""

    verdict: str
    records: int
    seconds: float
    accounts: list[Account]
    rows: list[LedgerRows]
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One micro-batch of the Spark driver, from its progress log.

    `steps`: seconds by name, in order. Plain names (``silver``) follow one another; names of tables
    (``silver.clicks``) are parts of them that run side by side, so their seconds don't add up.
    """

    batch_id: int
    started_at_ms: int
    input_rows: int
    seconds: float
    steps: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Freshness:
    """Time from a record's arrival in Kafka until it shows at `where`."""

    where: str
    samples: int
    p50_seconds: float
    p99_seconds: float
    target_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Enrichment:
    """How many silver rows carry a product version, of those that name a product."""

    table: str
    rows: int
    enriched: int

    @property
    def share(self) -> float:
        return self.enriched / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class AlertCount:
    """Alerts of one rule; `open` are those without a withdrawal after them, `expected_open` the reference's."""

    rule: str
    opened: int
    withdrawn: int
    open: int
    expected_open: int


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured: `source` says by which run or benchmark, and when."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Link:
    """Where to look next; `note` says how to log in."""

    title: str
    url: str
    note: str = ""


@dataclass(slots=True)
class DemoResult:
    """One run of the demo. Lists may stay empty: the page leaves their sections out."""

    title: str
    started_at_ms: int
    seed: int
    parameters: dict[str, str] = field(default_factory=dict)
    """What the run was asked for and where it ran ("clicks": "1,000,000", "cores": "2")."""
    steps: list[Step] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    tables: list[TableResult] = field(default_factory=list)
    accounts: list[TopicAccount] = field(default_factory=list)
    ledger: Ledger | None = None
    batches: list[MicroBatch] = field(default_factory=list)
    enrichment: list[Enrichment] = field(default_factory=list)
    alerts: list[AlertCount] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    """Fraud decisions made at the time, against what is true."""
    freshness: list[Freshness] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    """What the data had to hold ("merged sessions": 12, "attributed purchases": 301)."""
    peak_memory_bytes: dict[str, int] = field(default_factory=dict)
    """By service; at the peak of their sum."""
    links: list[Link] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every demand held and every table and account came out right, and there was something to hold."""
        return (
            bool(self.demands)
            and all(d.held for d in self.demands)
            and all(t.equal for t in self.tables)
            and all(a.balanced for a in self.accounts)
            and (self.ledger is None or self.ledger.clean)
            and all(s.right for s in self.said)
        )

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, verdicts included."""
        result = asdict(self)
        for rows, verdict in (
            ("tables", "equal"),
            ("accounts", "balanced"),
            ("enrichment", "share"),
            ("said", "right"),
        ):
            for row, source in zip(result[rows], getattr(self, rows), strict=True):
                row[verdict] = getattr(source, verdict)
        if self.ledger is not None:
            result["ledger"]["clean"] = self.ledger.clean
        return {"ok": self.ok, "seconds": self.seconds, **result}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
