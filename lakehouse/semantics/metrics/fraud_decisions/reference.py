"""Fraud: transactions that come too often (docs/semantics.md, Fraud)."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from lakehouse.semantics.events import Events, Transaction
from lakehouse.semantics.metrics.fraud_decisions.spec import RULE
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]
Place = tuple[int, str]
"""A transaction's place in its user's order: event time and id."""


class Decision(NamedTuple):
    """What is decided of a transaction, and why.

    `transactions_10m` and `transactions_1h` count those in (t - 10 min, t] and (t - 1 h, t]: itself and those before
    it in the order. `trigger_time`: of the latest trigger at or before it, if that lies in (t - 1 h, t].
    """

    transactions_10m: int
    transactions_1h: int
    trigger_time: int | None

    @property
    def flagged(self) -> bool:
        return self.transactions_10m >= RULE.flag_count

    @property
    def blocked(self) -> bool:
        return self.trigger_time is not None


def in_order(transactions: Iterable[Transaction]) -> dict[str, list[Transaction]]:
    """Each user's transactions by (event_time, event_id)."""
    users: dict[str, list[Transaction]] = {}
    for transaction in transactions:
        users.setdefault(transaction.user_id, []).append(transaction)
    for ordered in users.values():
        # Python orders strings by code point, which is the order of their UTF-8 bytes.
        ordered.sort(key=lambda t: (t.event_time, t.event_id))
    return users


def decide(ordered: Sequence[Transaction]) -> Iterator[Decision]:
    """One decision for each of a user's transactions, which are in order. All count, blocked ones too."""
    times = [transaction.event_time for transaction in ordered]
    trigger_time: int | None = None
    for position, t in enumerate(times, 1):
        in_1h = position - bisect_right(times, t - RULE.trigger_ms)
        if in_1h >= RULE.trigger_count:
            trigger_time = t
        # Times only grow in the order, so that the latest trigger is the one which blocks longest.
        blocking = trigger_time if trigger_time is not None and trigger_time > t - RULE.block_ms else None
        yield Decision(position - bisect_right(times, t - RULE.flag_ms), in_1h, blocking)


def compute(events: Events) -> Iterator[Row]:
    """One row per transaction. It is made of that one alone (decision 0080): the counts tell of the others."""
    for ordered in in_order(events.transactions).values():
        for transaction, decision in zip(ordered, decide(ordered), strict=True):
            yield {
                "event_id": transaction.event_id,
                "event_time": transaction.event_time,
                "user_id": transaction.user_id,
                "amount_cents": transaction.amount_cents,
                "transactions_10m": decision.transactions_10m,
                "transactions_1h": decision.transactions_1h,
                "trigger_time": decision.trigger_time,
                "flagged": decision.flagged,
                "blocked": decision.blocked,
                "events": 1,
                "fingerprint": transaction.record_hash,
                "event_date": utc_date(transaction.event_time),
            }


def decisions_as_they_came(events: Events) -> Iterator[tuple[Transaction, Decision]]:
    """Each transaction decided from those of its user at lower offsets: what one can say at once who forgets nothing.

    Of users whose transactions lie in one partition; of others nobody knows what came first.
    """
    users: dict[str, list[Transaction]] = {}
    for transaction in events.transactions:
        users.setdefault(transaction.user_id, []).append(transaction)
    for transactions in users.values():
        if len({transaction.partition for transaction in transactions}) > 1:
            continue
        came: list[Place] = []
        for transaction in sorted(transactions, key=lambda t: t.offset):
            insort(came, place := (transaction.event_time, transaction.event_id))
            yield transaction, _decide_one(came, bisect_left(came, place))


def _decide_one(came: Sequence[Place], index: int) -> Decision:
    """About the one at `index` of a user's transactions, which are in order: the same as `decide` says of it, without
    going through those before it, of which a user may have any number."""

    def in_window(at: int, ms: int) -> int:
        return at + 1 - bisect_right(came, came[at][0] - ms, key=itemgetter(0))

    # Where it is no trigger itself, few lie in the hour that one must lie in.
    blocking = range(index, index - in_window(index, RULE.block_ms), -1)
    latest = next((came[i][0] for i in blocking if in_window(i, RULE.trigger_ms) >= RULE.trigger_count), None)
    return Decision(in_window(index, RULE.flag_ms), in_window(index, RULE.trigger_ms), latest)
