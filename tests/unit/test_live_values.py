"""What is read from ``shop.dashboard``, where anybody may write: a live value, or why none."""

import json
from typing import Any

import pytest

from lakehouse.contracts.messages import MessageError
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValue, parse_value

START = 1_709_280_000_000
WINDOW = {
    "table": PRODUCT_METRICS, "generation": 1, "seq": 3, "product_id": "mug", "window_start": START,
    "window_end": START + 300_000, "impressions": 4, "clicks": 1, "conversions": 0, "revenue_cents": 0, "ctr": 0.25,
    "events": 5, "fingerprint": str(2**62),
}  # fmt: skip
SESSION = {
    "table": CURRENT_SESSIONS, "generation": 1, "seq": 3, "user_id": "ana", "session_start": START,
    "session_end": START + 9, "duration_ms": 9, "impressions": 4, "clicks": 1, "anomalous": False, "events": 5,
    "fingerprint": "0",
}  # fmt: skip


def encoded(row: dict[str, Any], **changed: Any) -> bytes:
    return json.dumps(row | changed).encode()


@pytest.mark.parametrize("row", [WINDOW, SESSION, WINDOW | {"events": 0, "ctr": None}, WINDOW | {"ctr": 1}])
def test_what_flink_sends_is_a_live_value(row: dict[str, Any]) -> None:
    key, start = (row["product_id"], START) if "product_id" in row else (row["user_id"], None)
    assert parse_value(encoded(row)) == LiveValue(row["table"], key, start, 1, 3, encoded(row))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (None, "EOF"),
        (b"", "EOF"),
        (b"[]", "an object"),
        (b"{", "Invalid JSON"),
        (b"[" * 100_000, "recursion limit"),
        (encoded(WINDOW, table="unknown"), "'unknown'"),
        (encoded({n: v for n, v in SESSION.items() if n != "events"}), "events: Field required"),
        (encoded(WINDOW, generation=-1), "generation: "),
        (encoded(WINDOW, generation=1 << 31), "generation: "),
        (encoded(WINDOW, generation="1"), "generation: "),
        (encoded(WINDOW, seq=1 << 53), "seq: "),
        (encoded(WINDOW, seq=3.5), "seq: "),
        (encoded(WINDOW, product_id=["mug"]), "product_id: "),
        (encoded(WINDOW, window_start="2026-03-01T00:00:00Z"), "window_start: "),
        (encoded(WINDOW, window_end=START * 1_000_000), "window_end: "),
        (encoded(WINDOW, clicks=-1), "clicks: "),
        (encoded(WINDOW, ctr=float("nan")), "ctr: "),
        (encoded(WINDOW, fingerprint="9" * 39), "fingerprint: "),
        (encoded(SESSION, fingerprint=5), "fingerprint: "),
        (encoded(SESSION, anomalous="no"), "anomalous: "),
    ],
)
def test_what_is_no_live_value_says_why(message: bytes | None, why: str) -> None:
    with pytest.raises(MessageError, match="not a live value") as refused:
        parse_value(message)
    assert why in str(refused.value)
