"""Decisions and alerts as they were said: as they had to be, and against what is true."""

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl

from lakehouse.alerts import FRAUD_BLOCKED, FRAUD_FLAGGED, Alert, parse_alert
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.reference import Reference
from lakehouse.compare.said import Said, decided_frames, said_of_frames
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import table
from lakehouse.semantics import Events, Transaction
from lakehouse.semantics.log import EventLog
from lakehouse.semantics.metrics.fraud_decisions.reference import compute as fraud_decisions
from tests.strategies import at, transaction

DECISIONS = table("silver.fraud_online")


def burst(count: int, clock: str = "10:00", partition: int = 0) -> list[Transaction]:
    return [transaction("ana", at(clock) + n * 1000, event_id=f"a{n:02d}", partition=partition) for n in range(count)]


def reference(*transactions: Transaction) -> Reference:
    return Reference({}, [], EventLog(Events.of(transactions)))


def said(transactions: list[Transaction], **changed: Any) -> pl.DataFrame:
    """What Flink says of transactions that come in the order given; `changed` columns of the last row."""
    came = list(decided_rows(transactions))
    came[-1] |= changed
    return to_frame(DECISIONS, came)


def decided_rows(transactions: list[Transaction]) -> list[dict[str, Any]]:
    """Each by the tables' rule, over those before it in the list."""
    rows = []
    for count, one in enumerate(transactions, 1):
        (row,) = (r for r in fraud_decisions(Events.of(transactions[:count])) if r["event_id"] == one.event_id)
        position = {name: getattr(one, name) for name in ("topic", "partition", "offset", "arrival", "record_hash")}
        rows.append({name: row.get(name) for name in DECISIONS.column_names} | position | {"state_complete": True})
    return rows


def compared(transactions: list[Transaction], actual: pl.DataFrame) -> TableComparison:
    return compare_frames("silver.fraud_online", 1, *decided_frames(reference(*transactions), actual), DECISIONS.key)


def keys(*transactions: Transaction) -> pl.DataFrame:
    return to_frame(DECISIONS, decided_rows(list(transactions))).select(DECISIONS.key)


def test_what_was_said_of_a_transaction_that_is_none_any_more_stays_said() -> None:
    """It was the eleventh's reason to be blocked, and the sixth's to be flagged."""
    gone, *rest = transactions = burst(11)
    decided, alerts = said(transactions), [alert(FRAUD_FLAGGED, t) for t in transactions[5:]]
    alerts.append(alert(FRAUD_BLOCKED, transactions[-1]))
    assert not compare_frames("", 1, *decided_frames(reference(*rest), decided), DECISIONS.key).equal
    frames = decided_frames(reference(*rest), decided, keys(gone))
    found = compare_frames("", 1, *frames, DECISIONS.key)
    assert (found.equal, found.rows_compared) == (True, 10)
    told = said_of_frames(reference(*rest), decided, alerts, keys(gone))
    assert all(rule.right and rule.anew == 10 for rule in told)
    later = transaction("ana", "13:00", event_id="later")
    decided = pl.concat([decided, said([later])])
    found = compare_frames("", 1, *decided_frames(reference(*rest, later), decided, keys(gone)), DECISIONS.key)
    wrong = decided.with_columns(transactions_1h=pl.lit(7, pl.Int64))
    different = compare_frames("", 1, *decided_frames(reference(*rest, later), wrong, keys(gone)), DECISIONS.key)
    assert (found.different, different.different) == (0, 1)


def test_a_transaction_that_was_none_has_no_decision_and_needs_none() -> None:
    *before, brought = transactions = burst(6)
    decided = said(before)
    frames = decided_frames(reference(*transactions), decided)
    assert compare_frames("", 1, *frames, DECISIONS.key).missing == 1
    frames = decided_frames(reference(*transactions), decided, keys(brought))
    assert compare_frames("", 1, *frames, DECISIONS.key).equal


def test_what_was_said_by_what_had_come_is_right() -> None:
    transactions = [
        *burst(5),
        transaction("ana", "10:09", event_id="before"),
        transaction("ana", "10:01", event_id="late"),
    ]
    found = compared(transactions, said(transactions))
    assert found.equal
    assert found.rows_compared == 7


def test_a_decision_that_was_wrong_then_is_different() -> None:
    found = compared(burst(6), said(burst(6), flagged=False))
    assert (found.different, found.missing, found.unexpected) == (1, 0, 0)


def test_a_transaction_without_a_decision_is_missing() -> None:
    transactions = burst(6)
    found = compared(transactions, said(transactions[:5]))
    assert (found.different, found.missing, found.unexpected) == (0, 1, 0)


def test_a_transaction_decided_twice_is_unexpected() -> None:
    once = said(burst(6))
    assert compared(burst(6), pl.concat([once, once[:1]])).unexpected == 1


def test_a_decision_on_incomplete_state_must_only_be_there() -> None:
    late = burst(6)
    assert compared(late, said(late, flagged=False, transactions_10m=1, state_complete=False)).equal


def test_where_nobody_knows_what_came_first_decisions_must_only_be_there() -> None:
    spread = [*burst(5), transaction("ana", "10:01", event_id="elsewhere", partition=3)]
    assert compared(spread, said(spread, flagged=False, transactions_10m=1)).equal


def alert(rule: str, one: Transaction) -> Alert:
    fields = {"user_id": one.user_id, "event_id": one.event_id, "event_time": one.event_time, "amount_cents": 1}
    counts = {"window_start": 0, "window_end": 0, "state": "opened", "transactions_10m": 6, "transactions_1h": 11}
    return parse_alert(json.dumps({"rule": rule, "dedup_key": one.event_id} | fields | counts).encode())


def test_what_was_not_said_was_late_or_forgotten() -> None:
    first, *rest = burst(8)
    came = [*rest, first]
    alerts = [alert(FRAUD_FLAGGED, one) for one in came[5:7]]
    sent_twice = [*alerts, alerts[0]]
    flagged, blocked = said_of_frames(reference(*came), said(came), sent_twice)
    assert flagged == Said(FRAUD_FLAGGED, agreed=2, not_true=0, late=1, forgotten=0, alerted=2, alerts_differ=0)
    assert flagged.right
    assert blocked == Said(FRAUD_BLOCKED, 0, 0, 0, 0, 0, 0)

    gone = said(burst(6), flagged=False, state_complete=False)
    assert said_of_frames(reference(*burst(6)), gone, [])[0].forgotten == 1


def test_what_was_said_and_is_not_true_is_wrong() -> None:
    untrue = said(burst(5), flagged=True)
    (flagged, _) = said_of_frames(reference(*burst(5)), untrue, [alert(FRAUD_FLAGGED, burst(5)[4])])
    assert (flagged.not_true, flagged.right) == (1, False)


def test_a_decision_without_its_alert_and_an_alert_without_its_decision_are_wrong() -> None:
    transactions = burst(6)
    (flagged, _) = said_of_frames(reference(*transactions), said(transactions), [])
    assert (flagged.alerts_differ, flagged.right) == (1, False)
    other = [alert(FRAUD_FLAGGED, one) for one in transactions[4:]]
    assert said_of_frames(reference(*transactions), said(transactions), other)[0].alerts_differ == 1


def test_times_are_utc() -> None:
    (row,) = said(burst(1)).to_dicts()
    assert row["event_time"] == datetime.fromtimestamp(at("10:00") / 1000, UTC)
