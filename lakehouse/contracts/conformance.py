"""Raw records with verdicts written by hand from the validity rule: what every validator is held to.

One JSON object a line in ``conformance.jsonl``: `why` (for people), `topic`, `key`, `value`, `arrival` (epoch
milliseconds), `verdict` (``valid`` or the reason), with `fields` (the payload, times in epoch milliseconds) or, for
reasons that name one, `field`. Bytes are null, a string (its UTF-8), ``{"base64": ...}`` where they aren't UTF-8, or
``{"repeat": [[text, times], ...]}`` where they are long.
"""

import base64
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from lakehouse.contracts.validation import Invalid, Reason, Valid


@dataclass(frozen=True, slots=True)
class Case:
    """One record and its verdict."""

    why: str
    topic: str
    key: bytes | None
    value: bytes | None
    arrival_ms: int
    verdict: Valid | Invalid


def _bytes(described: Any) -> bytes | None:
    match described:
        case None:
            return None
        case str():
            return described.encode()
        case {"base64": str(encoded)}:
            return base64.b64decode(encoded)
        case {"repeat": list(parts)}:
            return "".join(text * times for text, times in parts).encode()
    raise ValueError(f"neither null, text, base64 nor repeat: {described!r}")


def _case(line: str) -> Case:
    record = json.loads(line)
    verdict = (
        Valid(record["fields"])
        if record["verdict"] == "valid"
        else Invalid(Reason(record["verdict"]), record.get("field"))
    )
    return Case(
        record["why"], record["topic"], _bytes(record["key"]), _bytes(record["value"]), record["arrival"], verdict
    )


def cases() -> list[Case]:
    """All cases, in the file's order."""
    text = resources.files("lakehouse.contracts").joinpath("conformance.jsonl").read_text(encoding="utf-8")
    return [_case(line) for line in text.split("\n") if line]
