"""Feeding records into Kafka as a careful producer does: judged, paced and confirmed."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lakehouse.contracts.validation import Invalid, validate
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.settings import Settings
from lakehouse.shell import quoted

PACES_PER_SECOND: Final = 20
LISTED_REFUSALS: Final = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that wasn't sent, and why."""

    label: str
    topic: str
    key: bytes | None
    verdict: Invalid

    def __str__(self) -> str:
        concerning = f" ({self.verdict.field})" if self.verdict.field else ""
        key = "no key" if self.key is None else f"key {quoted(self.key.decode('utf-8', 'backslashreplace'))}"
        return f"{self.label}: {self.topic}, {key}: {self.verdict.reason}{concerning}"


@dataclass(slots=True)
class Fed:
    """What came of feeding: records and value bytes sent, and what was refused.

    `refusals` holds the first `LISTED_REFUSALS` of the `refused`.
    """

    sent: Counter[str] = field(default_factory=Counter)
    value_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def records_per_second(self) -> float:
        return self.sent.total() / self.seconds if self.seconds else 0.0


def feed(
    settings: Settings,
    batches: Iterable[Sequence[Outgoing]],
    *,
    judged: bool = True,
    unsafe: bool = False,
    send: bool = True,
    rate: float | None = None,
    labels: Callable[[int], str] = "record {}".format,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Fed:
    """Send `batches` in order and wait until Kafka has confirmed all.

    Invalid records are refused, unless `unsafe`, and the rest goes on. Without `judged`, nothing is looked at; without
    `send`, nothing is sent, and what would be is counted.
    `rate` is in records per second. `labels` names the n-th record, from 1. `on_progress` gets the number of
    records handled since its last call.

    Raises:
        DeliveryError: Kafka did not confirm; feeding the same again is safe.
        ServiceDownError: Kafka does not answer.
    """
    fed = Fed()
    began = time.monotonic()
    seen = 0
    with Sender(settings) as sender:
        for batch in batches:
            for records in _paced(batch, rate):
                if rate and (wait := began + seen / rate - time.monotonic()) > 0:
                    time.sleep(wait)
                accepted = _accepted(records, seen, fed, labels) if judged and not unsafe else records
                if send:
                    sender.send(accepted)
                fed.sent.update(topic for topic, *_ in accepted)
                fed.value_bytes += sum(len(value) for _, _, value in accepted if value)
                seen += len(records)
                on_progress(len(records))
    fed.seconds = time.monotonic() - began
    return fed


def _paced(batch: Sequence[Outgoing], rate: float | None) -> Iterable[Sequence[Outgoing]]:
    if not rate:
        return (batch,)
    size = max(1, int(rate / PACES_PER_SECOND))
    return (batch[start : start + size] for start in range(0, len(batch), size))


def _accepted(records: Sequence[Outgoing], before: int, fed: Fed, labels: Callable[[int], str]) -> Sequence[Outgoing]:
    now_ms = int(time.time() * 1000)
    accepted = []
    for number, record in enumerate(records, before + 1):
        verdict = validate(*record, now_ms)
        if isinstance(verdict, Invalid):
            fed.refused[verdict.reason] += 1
            if len(fed.refusals) < LISTED_REFUSALS:
                fed.refusals.append(Refusal(labels(number), record[0], record[1], verdict))
        else:
            accepted.append(record)
    return accepted
