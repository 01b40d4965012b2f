"""Events that flow while something is broken."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, count, islice
from typing import Final, Self

from lakehouse.contracts.events import PRODUCTS, PROFILES
from lakehouse.contracts.times import format_time
from lakehouse.generator.catalogue import product_changes, profile_changes
from lakehouse.generator.render import records
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.feed import feed
from lakehouse.kafka.sender import Outgoing
from lakehouse.kafka.topics import create_topics
from lakehouse.settings import Settings

CHANGES: Final = 30
"""Product and profile versions each that are learnt in the course of a day."""


@dataclass
class Flow:
    """The events of a shop day, versions of its products and profiles, and what is to go `beside`, in lots of `lot`.

    Before each lot `pause` says how many seconds to wait, given the share that was sent. It flows until `hurry`,
    however long that takes: the share `kept` is kept for then, and once the others are sent, single events beyond the
    day's follow, as slowly as the last lots. The block ends when all are sent and confirmed.
    """

    settings: Settings
    day: ShopDay
    pause: Callable[[float], float]
    lot: int = 100
    versions: bool = True
    beside: Sequence[Outgoing] = ()
    kept: float = 0.1
    _rest: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        create_topics(self.settings)
        self._thread = threading.Thread(target=self._send, name="flow")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hurry()
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def hurry(self) -> None:
        """Send the rest at once, and end."""
        self._rest.set()

    def _send(self) -> None:
        try:
            feed(self.settings, self._lots(), judged=False, unsafe=True)
        except BaseException as error:  # the block's own thread raises it
            self._errors.append(error)

    def _lots(self) -> Iterator[list[Outgoing]]:
        events = list(chain.from_iterable(records(self.day)))
        others = [*(changes_of(self.day.seed, self.day.day) if self.versions else ()), *self.beside]
        # Spread over the day: events that came before a version of their product are enriched anew.
        each, rest = -(-len(others) * self.lot // len(events)), iter(others)
        lots = ([*events[start : start + self.lot], *islice(rest, each)] for start in range(0, len(events), self.lot))
        sent = 0
        for lot in lots:
            if sent >= (1 - self.kept) * len(events):
                yield from self._until_hurried()
            self._rest.wait(self.pause(sent / len(events)))
            yield lot
            sent += self.lot

    def _until_hurried(self) -> Iterator[list[Outgoing]]:
        for seed in count(self.day.seed + 1):
            for event in chain.from_iterable(records(replace(self.day, seed=seed, clicks=self.lot, purchases=1))):
                if self._rest.wait(self.pause(1.0)):
                    return
                yield [event]


def changes_of(seed: int, day: date) -> list[Outgoing]:
    """Versions of products and profiles that begin within `day`, in turn."""
    products = product_changes(seed, day, learnt_late=False)[:CHANGES]
    profiles = profile_changes(seed, day)[:CHANGES]
    found: list[Outgoing] = []
    for number, pair in enumerate(zip(products, profiles, strict=True)):
        for contract, version in zip((PRODUCTS, PROFILES), pair, strict=True):
            payload = version._asdict()
            begins = format_time(round(version.valid_from.timestamp() * 1000))
            identity = {"event_id": f"{day:%Y%m%d}-{seed}-{number}", "event_time": begins}
            value = json.dumps(identity | payload | {"valid_from": begins}, ensure_ascii=False)
            found.append((contract.topic, payload[contract.key].encode(), value.encode()))
    return found
