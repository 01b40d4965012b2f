from typing import Any

from lakehouse.semantics import Events, Transaction
from lakehouse.semantics.metrics.fraud_decisions.reference import compute as fraud_decisions
from tests.strategies import at, transaction


def decided(*transactions: Transaction) -> dict[str, dict[str, Any]]:
    """The decisions by event id."""
    return {row["event_id"]: row for row in fraud_decisions(Events.of(transactions))}


def burst(count: int, first: str, user: str = "ana", every_ms: int = 1_000) -> list[Transaction]:
    """Transactions a second apart, their ids in order: a01, a02, ..."""
    return [transaction(user, at(first) + n * every_ms, event_id=f"a{n + 1:02d}") for n in range(count)]


def last(*transactions: Transaction, event_id: str = "last") -> dict[str, Any]:
    return decided(*transactions)[event_id]


def test_blocked_transactions_count_so_that_a_block_goes_on() -> None:
    """Every 6 minutes: each from the 11th on is the 10th in its hour, no trigger; every 5: each is a trigger."""
    every_6 = decided(*burst(40, "10:00", every_ms=6 * 60_000))
    every_5 = decided(*burst(40, "10:00", every_ms=5 * 60_000))
    assert not any(row["blocked"] for row in every_6.values())
    assert [row["blocked"] for row in every_5.values()] == [False] * 10 + [True] * 2 + [True] * 28
    assert {row["transactions_1h"] for row in list(every_5.values())[11:]} == {12}


def test_a_late_transaction_changes_what_was_decided_after_it() -> None:
    on_time = burst(5, "10:00")
    assert not decided(*on_time)["a05"]["flagged"]
    assert decided(*on_time, transaction("ana", "09:59", event_id="late"))["a05"]["flagged"]


def test_a_decision_is_made_of_its_transaction() -> None:
    flagged = transaction("ana", "10:01", cents=77, event_id="last")
    row = last(*burst(5, "10:00"), flagged)
    assert (row["events"], row["fingerprint"], row["amount_cents"]) == (1, flagged.record_hash, 77)
