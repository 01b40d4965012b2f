"""Records that break the contract, at least one for each reason a dead letter may have."""

import json
from collections.abc import Callable
from typing import Any, Final

from lakehouse.contracts.events import CLICKS, MAX_DEPTH, MAX_VALUE_BYTES, PURCHASES, TRANSACTIONS

Payload = dict[str, Any]
Record = tuple[str, bytes | None, bytes | None]
"""(topic, key, value)."""


def _click(change: Callable[[Payload], object]) -> Callable[[Payload, Payload], Record]:
    return lambda click, _: (CLICKS.topic, _key(click), _changed(click, change))


def _purchase(change: Callable[[Payload], object]) -> Callable[[Payload, Payload], Record]:
    return lambda _, purchase: (PURCHASES.topic, _key(purchase), _changed(purchase, change))


def _key(payload: Payload) -> bytes:
    return str(payload["user_id"]).encode()


def _changed(payload: Payload, change: Callable[[Payload], object]) -> bytes:
    changed = dict(payload)
    change(changed)
    return json.dumps(changed, ensure_ascii=False).encode()


def _raw(change: Callable[[bytes], bytes | None]) -> Callable[[Payload, Payload], Record]:
    return lambda click, _: (CLICKS.topic, _key(click), change(json.dumps(click).encode()))


def _other_key(click: Payload, _: Payload) -> Record:
    return CLICKS.topic, b"somebody else", json.dumps(click).encode()


def _no_key(_: Payload, purchase: Payload) -> Record:
    return PURCHASES.topic, None, json.dumps(purchase).encode()


BROKEN: Final[tuple[tuple[str, Callable[[Payload, Payload], Record]], ...]] = (
    ("null_value", _raw(lambda _: None)),
    ("too_large", _click(lambda c: c.update(page="x" * (MAX_VALUE_BYTES + 1)))),
    ("not_utf8", _raw(lambda value: value.replace(b'"page"', b'"pa\xffe"'))),
    ("not_utf8", _raw(lambda value: b"\xef\xbb\xbf" + value)),
    ("not_json", _raw(lambda value: value[:-1])),
    ("not_json", _raw(lambda value: value + b" {}")),
    ("not_json", _raw(lambda value: value.replace(b"{", b'{"\\u0070age":"/","page":"/",', 1))),
    ("not_json", _raw(lambda value: value.replace(b"{", b'{"extra":"\\ud800",', 1))),
    ("not_json", _raw(lambda value: value.replace(b"{", b'{"deep":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b",", 1))),
    ("missing", _click(lambda c: c.pop("action"))),
    ("missing", _purchase(lambda p: p.pop("amount_cents"))),
    ("wrong_type", _purchase(lambda p: p.update(quantity="2"))),
    ("wrong_type", _purchase(lambda p: p.update(amount_cents=float(p["amount_cents"]) + 0.9))),
    ("wrong_type", _click(lambda c: c.update(region={"name": "de"}))),
    ("wrong_type", _purchase(lambda p: p.update(product_id=None))),
    ("out_of_range", _purchase(lambda p: p.update(quantity=0))),
    ("out_of_range", _purchase(lambda p: p.update(currency="eur"))),
    ("wrong_type", _click(lambda c: c.update(event_time="2026-02-30T12:00:00Z"))),
    ("out_of_range", _click(lambda c: c.update(event_time="2999-01-01T00:00:00Z"))),
    ("out_of_range", _click(lambda c: c.update(user_id=""))),
    ("key_mismatch", _other_key),
    ("key_mismatch", _no_key),
)
"""Reasons and how a record comes to have them: from a valid click and a valid purchase."""


def _transaction(change: Callable[[Payload], object]) -> Callable[[Payload], Record]:
    return lambda payload: (TRANSACTIONS.topic, _key(payload), _changed(payload, change))


BROKEN_TRANSACTIONS: Final[tuple[tuple[str, Callable[[Payload], Record]], ...]] = (
    ("null_value", lambda t: (TRANSACTIONS.topic, _key(t), None)),
    ("not_json", lambda t: (TRANSACTIONS.topic, _key(t), json.dumps(t).encode()[:-1])),
    ("missing", _transaction(lambda t: t.pop("merchant"))),
    ("wrong_type", _transaction(lambda t: t.update(amount_cents=str(t["amount_cents"])))),
    ("wrong_type", _transaction(lambda t: t.update(country=None))),
    ("out_of_range", _transaction(lambda t: t.update(amount_cents=-1 - t["amount_cents"]))),
    ("out_of_range", _transaction(lambda t: t.update(priority="urgent"))),
    ("out_of_range", _transaction(lambda t: t.update(event_time="2999-01-01T00:00:00Z"))),
    ("key_mismatch", lambda t: (TRANSACTIONS.topic, b"somebody else", json.dumps(t).encode())),
)
"""The same from a valid transaction."""
