"""What was said at the time, Flink's decisions and the alerts sent: as it had to be said, and against what is true."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from lakehouse.alerts import FRAUD_BLOCKED, FRAUD_FLAGGED, Alert, FraudAlert
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.reference import Reference
from lakehouse.compare.sent import SENT, alerts_sent, records_sent
from lakehouse.compare.tables import PinnedTable
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.owners import FRAUD_ONLINE
from lakehouse.contracts.tables import table
from lakehouse.kafka.topics import ALERTS
from lakehouse.rejudge.trail import touched
from lakehouse.semantics.metrics.fraud_decisions.reference import compute as fraud_decisions
from lakehouse.semantics.metrics.fraud_decisions.reference import decisions_as_they_came
from lakehouse.semantics.metrics.fraud_decisions.spec import RULE as FRAUD
from lakehouse.settings import Settings

DECISIONS: Final = f"silver.{FRAUD_ONLINE}"

FRAUD_RULES: Final = {FRAUD_FLAGGED: "flagged", FRAUD_BLOCKED: "blocked"}
"""Rules of alerts, and the column that each is about."""

_KEY: Final = table(DECISIONS).key
_SAID: Final = ("transactions_10m", "transactions_1h", "trigger_time", "flagged", "blocked")
_REACH: Final = timedelta(milliseconds=FRAUD.reach_ms)
_NONE: Final = pl.DataFrame(schema={name: polars_schema(table(DECISIONS))[name] for name in _KEY})


def compare_decisions(settings: Settings, reference: Reference) -> TableComparison:
    """One decision for each de-duplicated transaction, and the right one for what had come until then.

    Of a decision that says that state was missing, and of a user whose transactions lie in several partitions, the
    decision itself is not compared: that it is there is. Of a transaction that was judged anew since, what was said
    stays said: whether there is a decision is not compared, nor what it did to those of its user after it.
    """
    pinned, anew = PinnedTable(settings, DECISIONS), judged_anew(settings)
    return compare_frames(DECISIONS, pinned.version, *decided_frames(reference, pinned.frame(), anew), _KEY)


def judged_anew(settings: Settings) -> pl.DataFrame:
    """The keys of transactions that another rule of validity has taken away or brought. Raises ServiceDownError."""
    return touched(settings, TRANSACTIONS.topic).select(_KEY).unique()


def decided_frames(
    reference: Reference, actual: pl.DataFrame, anew: pl.DataFrame = _NONE
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What must have been decided, and what was; the decision null in both where it can't be compared."""
    schema = {name: polars_schema(table(DECISIONS))[name] for name in (*_KEY, *_SAID)}
    rows = [
        (
            t.user_id,
            t.event_id,
            t.event_time,
            d.transactions_10m,
            d.transactions_1h,
            d.trigger_time,
            d.flagged,
            d.blocked,
        )
        for t, d in decisions_as_they_came(reference.log.events)
    ]
    decided = _frame(rows, schema)
    keys = _frame([(t.user_id, t.event_id, t.event_time) for t in reference.log.events.transactions], schema, _KEY)
    never_said, no_event = (anew.join(rows, on=_KEY, how="anti") for rows in (actual, keys))
    actual = actual.join(no_event, on=_KEY, how="anti")
    comparable = decided.select(_KEY).join(actual.filter("state_complete"), on=_KEY, how="semi")
    comparable = comparable.join(_counting(comparable, anew), on=_KEY, how="anti").with_columns(sure=True)
    expected = keys.join(never_said, on=_KEY, how="anti").join(decided, on=_KEY, how="left")
    return _masked(expected, comparable, schema), _masked(actual, comparable, schema)


def _counting(decided: pl.DataFrame, anew: pl.DataFrame) -> pl.DataFrame:
    """The keys of those that may count one of the transactions `anew`."""
    both = decided.select(_KEY).join(anew.select("user_id", counted="event_time"), on="user_id")
    reached = pl.col("event_time").is_between("counted", pl.col("counted") + _REACH)
    return both.filter(reached).select(_KEY).unique()


def _frame(
    rows: Iterable[Sequence[object]], schema: dict[str, pl.DataType], columns: Iterable[str] = ()
) -> pl.DataFrame:
    wanted = {name: schema[name] for name in (columns or schema)}
    times = {name for name, dtype in wanted.items() if isinstance(dtype, pl.Datetime)}
    raw = {name: pl.Int64() if name in times else dtype for name, dtype in wanted.items()}
    frame = pl.DataFrame(list(rows), schema=raw, orient="row")
    return frame.with_columns(pl.col(name).cast(pl.Datetime("ms", "UTC")).cast(wanted[name]) for name in times)


def _masked(frame: pl.DataFrame, comparable: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    marked = frame.join(comparable, on=_KEY, how="left")
    return marked.with_columns(pl.when("sure").then(name).alias(name) for name in _SAID).select(list(schema))


def compare_sent(settings: Settings) -> TableComparison:
    """Every record of ``shop.alerts``, to the byte.

    Of those that Kafka has forgotten, whether the hash is the value's.
    """
    contract, pinned = table(SENT), PinnedTable(settings, SENT)
    columns = [name for name in contract.column_names if name not in ("rule", "state", "dedup_key", "event_date")]
    schema = {name: polars_schema(contract)[name] for name in columns}
    rows = [
        (
            ALERTS,
            r.partition,
            r.offset,
            r.arrival_ms,
            r.key,
            r.value,
            record_hash(ALERTS, r.partition, r.offset, r.value),
        )
        for r in records_sent(settings)
    ]
    actual = pinned.frame().select(columns)
    return compare_frames(SENT, pinned.version, _frame(rows, schema), actual, contract.key)


@dataclass(frozen=True, slots=True)
class Said:
    """Of one rule, what was said about transactions and what is true of them, in transactions.

    One more transaction takes back no flag and no block, so nothing that was said may be untrue.
    """

    rule: str
    agreed: int
    """Said and true."""
    not_true: int
    """Said and not true."""
    late: int
    """True and not said: one before it in the order came after it."""
    forgotten: int
    """True and not said: its user's state was gone when it came, very late."""
    alerted: int
    """Alerts about it, one that was sent again counted once."""
    alerts_differ: int
    """Alerts without such a decision, and such decisions without an alert."""
    anew: int = 0
    """Decisions that are not compared, since they count a transaction that was judged anew."""

    @property
    def right(self) -> bool:
        return not self.not_true and not self.alerts_differ


def said_against_true(settings: Settings, reference: Reference) -> tuple[Said, ...]:
    """Of each rule, from `silver.fraud_online` and ``shop.alerts``."""
    decided = PinnedTable(settings, DECISIONS).frame()
    return said_of_frames(reference, decided, alerts_sent(settings), judged_anew(settings))


def said_of_frames(
    reference: Reference, decided: pl.DataFrame, alerts: Iterable[Alert], anew: pl.DataFrame = _NONE
) -> tuple[Said, ...]:
    """See `said_against_true`."""
    decided = decided.join(anew, on=_KEY, how="anti")
    schema = {name: polars_schema(table(DECISIONS))[name] for name in (*_KEY, "flagged", "blocked")}
    rows = ([row[name] for name in schema] for row in fraud_decisions(reference.log.events))
    both = decided.join(_frame(rows, schema).rename({c: f"true_{c}" for c in FRAUD_RULES.values()}), on=_KEY)
    sent: dict[str, set[tuple[str, str, int]]] = {rule: set() for rule in FRAUD_RULES}
    for alert in alerts:
        if isinstance(alert, FraudAlert):
            sent[alert.rule].add((alert.user_id, alert.event_id, alert.event_time))
    gone = set(_as_sent(anew))
    counting = both.join(_counting(both, anew), on=_KEY, how="semi")
    return tuple(_said(both, counting, sent[rule] - gone, rule, column) for rule, column in FRAUD_RULES.items())


def _as_sent(decided: pl.DataFrame) -> Iterable[tuple[str, str, int]]:
    return decided.select("user_id", "event_id", pl.col("event_time").dt.epoch("ms")).iter_rows()


def _said(both: pl.DataFrame, counting: pl.DataFrame, sent: set[tuple[str, str, int]], rule: str, column: str) -> Said:
    was_said, is_true = pl.col(column), pl.col(f"true_{column}")
    decided = both.filter(was_said)
    both = both.join(counting, on=_KEY, how="anti")
    missed = both.filter(~was_said & is_true)
    return Said(
        rule,
        agreed=both.filter(was_said & is_true).height,
        not_true=both.filter(was_said & ~is_true).height,
        late=missed.filter("state_complete").height,
        forgotten=missed.filter(~pl.col("state_complete")).height,
        alerted=len(sent),
        alerts_differ=len(sent.symmetric_difference(_as_sent(decided))),
        anew=counting.height,
    )
