from typing import Any

import pytest

from lakehouse.semantics import Events, Transaction
from lakehouse.semantics.reference.fraud import fraud_decisions
from tests.strategies import at, transaction


def decided(*transactions: Transaction) -> dict[str, dict[str, Any]]:
    """The decisions by event id."""
    return {row["event_id"]: row for row in fraud_decisions(Events.of(transactions))}


def burst(count: int, first: str, user: str = "ana", every_ms: int = 1_000) -> list[Transaction]:
    """Transactions a second apart, their ids in order: a01, a02, ..."""
    return [transaction(user, at(first) + n * every_ms, event_id=f"a{n + 1:02d}") for n in range(count)]


def last(*transactions: Transaction, event_id: str = "last") -> dict[str, Any]:
    return decided(*transactions)[event_id]


def test_the_sixth_within_10_minutes_is_flagged() -> None:
    rows = decided(*burst(6, "10:00"))
    assert [row["flagged"] for row in rows.values()] == [False] * 5 + [True]
    assert [row["transactions_10m"] for row in rows.values()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("clock", "flagged"), [("10:09:59.999", True), ("10:10", False), ("10:10:00.001", False)])
def test_10_minutes_end_where_they_are_full(clock: str, flagged: bool) -> None:
    """Five at 10:00:00.000; at 10:10 they no longer lie in (t - 10 min, t]."""
    assert last(*burst(5, "10:00", every_ms=0), transaction("ana", clock, event_id="last"))["flagged"] is flagged


def test_five_in_10_minutes_are_not_flagged_however_many_were_before() -> None:
    assert not last(*burst(9, "10:00"), *burst(4, "10:30"), transaction("ana", "10:31", event_id="last"))["flagged"]


def test_the_eleventh_within_1_hour_blocks_itself() -> None:
    rows = decided(*burst(11, "10:00", every_ms=5 * 60_000))
    assert [row["blocked"] for row in rows.values()] == [False] * 10 + [True]
    assert rows["a11"]["trigger_time"] == at("10:50")
    assert not any(row["flagged"] for row in rows.values())


@pytest.mark.parametrize(("clock", "count"), [("10:59:59.999", 11), ("11:00", 1), ("11:00:00.001", 1)])
def test_1_hour_ends_where_it_is_full(clock: str, count: int) -> None:
    row = last(*burst(10, "10:00", every_ms=0), transaction("ana", clock, event_id="last"))
    assert row["transactions_1h"] == count
    assert row["blocked"] is (count == 11)


@pytest.mark.parametrize(("clock", "blocked"), [("11:00:09.999", True), ("11:00:10", False), ("11:00:10.001", False)])
def test_a_block_lasts_under_1_hour_from_its_trigger(clock: str, blocked: bool) -> None:
    """The 11th, at 10:00:10, is the only trigger."""
    row = last(*burst(11, "10:00"), transaction("ana", clock, event_id="last"))
    assert (row["blocked"], row["trigger_time"]) == (blocked, at("10:00:10") if blocked else None)
    assert not row["flagged"]


def test_blocked_transactions_count_so_that_a_block_goes_on() -> None:
    """Every 6 minutes: each from the 11th on is the 10th in its hour, no trigger; every 5: each is a trigger."""
    every_6 = decided(*burst(40, "10:00", every_ms=6 * 60_000))
    every_5 = decided(*burst(40, "10:00", every_ms=5 * 60_000))
    assert not any(row["blocked"] for row in every_6.values())
    assert [row["blocked"] for row in every_5.values()] == [False] * 10 + [True] * 2 + [True] * 28
    assert {row["transactions_1h"] for row in list(every_5.values())[11:]} == {12}


def test_a_block_reaches_back_to_what_came_nearly_2_hours_before() -> None:
    """The first of the trigger's eleven lies 1:59:59.998 before the last that it blocks."""
    ten = burst(10, "10:00:00.002", every_ms=0)
    trigger = transaction("ana", "11:00:00.001", event_id="trigger")
    rows = decided(*ten, trigger, transaction("ana", "12:00", event_id="last"))
    assert (rows["trigger"]["transactions_1h"], rows["last"]["blocked"]) == (11, True)
    assert not decided(*ten[1:], trigger, transaction("ana", "12:00", event_id="last"))["last"]["blocked"]


def test_ties_are_ordered_by_their_ids() -> None:
    rows = decided(*(transaction("ana", "10:00", event_id=i) for i in "bfagcedkjih"))
    assert {i: rows[i]["transactions_10m"] for i in "abcdefghijk"} == {i: n for n, i in enumerate("abcdefghijk", 1)}
    assert "".join(sorted(i for i, row in rows.items() if row["flagged"])) == "fghijk"
    assert [i for i, row in rows.items() if row["blocked"]] == ["k"]


def test_ids_are_ordered_as_utf8() -> None:
    # U+FFFD comes before U+1F600 as UTF-8, after it as UTF-16.
    ids = [*"abcd", "\ufffd", "\U0001f600"]
    rows = decided(*(transaction("ana", "10:00", event_id=i) for i in reversed(ids)))
    assert [i for i, row in rows.items() if row["flagged"]] == ["\U0001f600"]


def test_users_have_their_own_counts() -> None:
    rows = list(fraud_decisions(Events.of([*burst(5, "10:00"), *burst(6, "10:00", "bo")])))
    assert [row["user_id"] for row in rows if row["flagged"]] == ["bo"]


def test_a_late_transaction_changes_what_was_decided_after_it() -> None:
    on_time = burst(5, "10:00")
    assert not decided(*on_time)["a05"]["flagged"]
    assert decided(*on_time, transaction("ana", "09:59", event_id="late"))["a05"]["flagged"]


def test_over_midnight() -> None:
    row = last(*burst(5, "23:55"), transaction("ana", "24:04", event_id="last"))
    assert (row["flagged"], str(row["event_date"])) == (True, "2024-03-02")


def test_a_decision_is_made_of_its_transaction() -> None:
    flagged = transaction("ana", "10:01", cents=77, event_id="last")
    row = last(*burst(5, "10:00"), flagged)
    assert (row["events"], row["fingerprint"], row["amount_cents"]) == (1, flagged.record_hash, 77)
