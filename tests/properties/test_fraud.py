"""Fraud decisions are what the rule says to the letter, however slowly it is followed, and whoever decides."""

import random
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from jobs.rust_engines import fraud
from lakehouse.semantics import Events, Transaction
from lakehouse.semantics.metrics.fraud_decisions.reference import compute as fraud_decisions
from lakehouse.semantics.metrics.fraud_decisions.reference import decisions_as_they_came
from lakehouse.semantics.windows import HOUR, MINUTE
from tests.lake import expected
from tests.strategies import MORNING, bursts, transaction


def by_the_letter(transactions: list[Transaction]) -> dict[tuple[str, int], dict[str, Any]]:
    """Of one user; each rule is a sentence of the design over all pairs."""

    def at_or_before(other: Transaction, one: Transaction) -> bool:
        return (other.event_time, other.event_id) <= (one.event_time, one.event_id)

    def count(one: Transaction, ms: int) -> int:
        return sum(at_or_before(other, one) and other.event_time > one.event_time - ms for other in transactions)

    triggers = [t for t in transactions if count(t, HOUR) >= 11]
    return {
        (t.event_id, t.event_time): {
            "flagged": count(t, 10 * MINUTE) >= 6,
            "blocked": any(at_or_before(x, t) and x.event_time > t.event_time - HOUR for x in triggers),
            "transactions_10m": count(t, 10 * MINUTE),
            "transactions_1h": count(t, HOUR),
        }
        for t in transactions
    }


@given(burst=bursts(max_size=60))
def test_decisions_follow_the_rule(burst: list[Transaction]) -> None:
    decided = {(row["event_id"], row["event_time"]): row for row in fraud_decisions(Events.of(burst))}
    expected = by_the_letter(burst)
    assert {key: {name: decided[key][name] for name in wanted} for key, wanted in expected.items()} == expected
    assert len(decided) == len(burst)


@given(burst=bursts())
def test_one_more_transaction_takes_back_no_flag_and_no_block(burst: list[Transaction]) -> None:
    """So an alert that was right when it was sent stays right, whatever arrives late."""
    if not burst:
        return
    fewer = {row["event_id"]: row for row in fraud_decisions(Events.of(burst[1:]))}
    more = {row["event_id"]: row for row in fraud_decisions(Events.of(burst))}
    for event_id, row in fewer.items():
        assert more[event_id]["flagged"] >= row["flagged"]
        assert more[event_id]["blocked"] >= row["blocked"]


@given(burst=bursts())
def test_in_order_what_is_said_at_once_is_what_is_true(burst: list[Transaction]) -> None:
    in_order = sorted(burst, key=lambda t: (t.event_time, t.event_id))
    came = [transaction._replace(offset=offset) for offset, transaction in enumerate(in_order)]
    said = {t.event_id: (d.flagged, d.blocked) for t, d in decisions_as_they_came(Events.of(came))}
    assert said == {r["event_id"]: (r["flagged"], r["blocked"]) for r in fraud_decisions(Events.of(came))}


@given(burst=bursts())
def test_in_any_order_the_last_to_come_is_said_what_is_true(burst: list[Transaction]) -> None:
    came = [transaction._replace(offset=offset) for offset, transaction in enumerate(burst)]
    *_, last = [None, *decisions_as_they_came(Events.of(came))]
    if last is not None:
        transaction, decision = last
        (row,) = (r for r in fraud_decisions(Events.of(came)) if r["event_id"] == transaction.event_id)
        names = ("transactions_10m", "transactions_1h", "trigger_time", "flagged", "blocked")
        assert {name: getattr(decision, name) for name in names} == {name: row[name] for name in names}


def test_what_is_said_of_a_bot_costs_no_more_per_transaction_than_of_a_person(seed: int) -> None:
    """Were each decided by going through all before it, this would take an hour."""
    choice, count = random.Random(seed), 40_000
    times = sorted(MORNING + choice.randrange(3 * HOUR) for _ in range(count))
    late = set(choice.sample(range(count), count // 50))
    times = [t for i, t in enumerate(times) if i not in late] + [times[i] for i in late]
    came = [transaction("bot", time)._replace(offset=offset) for offset, time in enumerate(times)]
    said = {t.event_id: d for t, d in decisions_as_they_came(Events.of(came))}
    assert len(said) == count
    assert said[came[-1].event_id].transactions_1h == sum(
        (t.event_time, t.event_id) <= (came[-1].event_time, came[-1].event_id)
        and t.event_time > came[-1].event_time - HOUR
        for t in came
    )


DECIDED = ["user_id", "event_id", "event_time", "transactions_10m", "transactions_1h", "trigger_time"]
VERDICT = ["flagged", "blocked"]


def by_polars(transactions: pl.DataFrame) -> pl.DataFrame:
    return fraud.decide(transactions).select(*DECIDED, *VERDICT).sort(DECIDED)


@given(burst=bursts(max_size=60), other=bursts(max_size=10))
def test_polars_decides_alike(burst: list[Transaction], other: list[Transaction]) -> None:
    events = Events.of([*burst, *other])
    wanted = expected("gold.fraud_decisions", events).select(*DECIDED, *VERDICT).sort(DECIDED)
    assert by_polars(expected("silver.transactions", events)).equals(wanted)


@given(data=st.data(), burst=bursts(max_size=40).filter(bool))
def test_polars_needs_no_more_than_it_reads_for_what_it_replaces(data: st.DataObject, burst: list[Transaction]) -> None:
    """Of the new and the old decisions, those outside of the scope are the same, and those inside follow from what is
    read for them."""
    late = data.draw(st.sampled_from(burst))
    before = expected("silver.transactions", Events.of(t for t in burst if t != late))
    after = expected("silver.transactions", Events.of(burst))
    touched = after.filter(event_id=late.event_id)
    scope = fraud.affected(after, touched)

    def outside(rows: pl.DataFrame) -> pl.DataFrame:
        return by_polars(rows).join(scope, ["event_id", "event_time"], "anti")

    time = touched["event_time"][0]
    read = after.filter(pl.col("event_time").is_between(time - fraud.REACH, time + fraud.REACH))
    inside = fraud.affected(by_polars(read), touched).sort(DECIDED)
    assert outside(before).equals(outside(after))
    assert inside.equals(by_polars(after).join(scope, ["event_id", "event_time"], "semi").sort(DECIDED))
