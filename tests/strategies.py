"""Hypothesis strategies of event streams, and one-line builders of literal events.

`event_streams()` draws what metrics find hard: few users and products, so that events meet; times near window,
session and attribution bounds; duplicates; disorder within a partition.
"""

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

from hypothesis import strategies as st

from lakehouse.contracts.identity import record_hash
from lakehouse.semantics import Click, Event, ProductVersion, ProfileVersion, Purchase, Transaction
from lakehouse.semantics.events import key_of
from lakehouse.semantics.windows import DAY, HOUR, MINUTE

MORNING = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp() * 1000)
"""Midnight of the day that literal times mean."""

_serial = itertools.count()


def at(clock: str) -> int:
    """Milliseconds of ``HH:MM[:SS[.mmm]]`` on 1 March 2024; hours above 23 fall on later days."""
    hours, minutes, *seconds = clock.split(":")
    return MORNING + int(hours) * HOUR + int(minutes) * MINUTE + round(float(seconds[0]) * 1000 if seconds else 0)


def _position(topic: str, offset: int | None, partition: int) -> tuple[str, int, int, int, int]:
    offset = next(_serial) if offset is None else offset
    return topic, partition, offset, MORNING + 90 * DAY, record_hash(topic, partition, offset, b"")


def click(
    user: str,
    clock: str | int,
    product: str | None = "mug",
    *,
    action: str = "click",
    region: str = "north",
    event_id: str | None = None,
    offset: int | None = None,
    partition: int = 0,
) -> Click:
    """A click on a product; `clock` as for `at`, or milliseconds."""
    time = at(clock) if isinstance(clock, str) else clock
    position = _position("shop.clicks", offset, partition)
    return Click(event_id or f"c{position[2]:05}", time, user, product, action, "/", region, *position)


def impression(user: str, clock: str | int, product: str | None = "mug", **rest: object) -> Click:
    return click(user, clock, product, action="impression", **rest)  # type: ignore[arg-type]


def purchase(
    user: str,
    clock: str | int,
    product: str = "mug",
    *,
    cents: int = 500,
    region: str = "north",
    event_id: str | None = None,
    offset: int | None = None,
    partition: int = 0,
) -> Purchase:
    time = at(clock) if isinstance(clock, str) else clock
    position = _position("shop.purchases", offset, partition)
    return Purchase(event_id or f"p{position[2]:05}", time, user, product, 1, cents, "EUR", region, *position)


def transaction(
    user: str,
    clock: str | int,
    *,
    cents: int = 500,
    event_id: str | None = None,
    offset: int | None = None,
    partition: int = 0,
) -> Transaction:
    time = at(clock) if isinstance(clock, str) else clock
    position = _position("shop.transactions", offset, partition)
    return Transaction(event_id or f"t{position[2]:05}", time, user, cents, "acme", "DE", "normal", *position)


def product(
    product_id: str, valid_from: str | int, category: str = "kitchen", *, offset: int | None = None, partition: int = 0
) -> ProductVersion:
    time = at(valid_from) if isinstance(valid_from, str) else valid_from
    position = _position("shop.products", offset, partition)
    return ProductVersion(f"v{position[2]:05}", MORNING, product_id, category, "acme", 100, time, *position)


def profile(user: str, valid_from: str | int, segment: str = "new", *, offset: int | None = None) -> ProfileVersion:
    time = at(valid_from) if isinstance(valid_from, str) else valid_from
    position = _position("shop.profiles", offset, 0)
    return ProfileVersion(f"f{position[2]:05}", MORNING, user, "DE", segment, time, *position)


USERS = ("ana", "bo", "émile")
PRODUCTS = ("mug", "pan")

_near_bounds = st.builds(
    lambda base, around: base + around,
    st.sampled_from(
        [0, 1, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, 60 * MINUTE, 4 * HOUR, 4 * HOUR + 30 * MINUTE, DAY, DAY + HOUR]
    ),
    st.integers(-2, 2),
)
times = st.builds(lambda offset: MORNING + 12 * HOUR + offset, st.one_of(_near_bounds, st.integers(-2 * HOUR, 2 * DAY)))
"""Event times within three days, often a millisecond around the bounds that the semantics name."""

_products = st.sampled_from(PRODUCTS)
_users = st.sampled_from(USERS)
_regions = st.sampled_from(("north", "süd"))
_partitions = st.just(0)

clicks = st.builds(
    click,
    _users,
    times,
    st.one_of(st.none(), _products),
    action=st.sampled_from(("impression", "click")),
    region=_regions,
)
_cents = st.one_of(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from((2**62, 9 * 10**18, 2**63 - 1)))
"""Amounts beyond the bound too, which an earlier rule let in: of a few of them the sum fits no 64 bits."""
purchases = st.builds(purchase, _users, times, _products, cents=_cents, region=_regions)
transactions = st.builds(transaction, _users, times, cents=st.integers(0, 10**6))
product_versions = st.builds(product, _products, times, st.sampled_from(("kitchen", "garden", "")))
profile_versions = st.builds(profile, _users, times, st.sampled_from(("new", "regular")))

events = st.one_of(clicks, clicks, clicks, purchases, transactions, product_versions, profile_versions)


@st.composite
def bursts(draw: st.DrawFn, max_size: int = 30) -> list[Transaction]:
    """One user's transactions within some hours: enough of them to be flagged and blocked, ties among them, and
    often a millisecond around the bounds of 10 min, 1 h and 2 h."""
    user, start = draw(_users), MORNING + 22 * HOUR
    near = st.builds(
        lambda base, around: base + around,
        st.sampled_from([0, 10 * MINUTE, 60 * MINUTE, 70 * MINUTE, 120 * MINUTE, 130 * MINUTE]),
        st.integers(-2, 2),
    )
    offsets = draw(st.lists(st.one_of(near, near, st.integers(0, 3 * HOUR)), max_size=max_size))
    return [transaction(user, start + offset) for offset in offsets]


def moved(event: Event, offset: int, partition: int | None = None) -> Event:
    """The same event as another record: at another position, with the hash of that position."""
    partition = event.partition if partition is None else partition
    hashed = record_hash(event.topic, partition, offset, b"")
    return event._replace(offset=offset, partition=partition, record_hash=hashed)


def positioned(stream: Iterable[Event]) -> list[Event]:
    """Gives events the positions that their order in the log means: a key's partition, offsets from 0."""
    offsets: dict[tuple[str, int], int] = {}
    result = []
    for event in stream:
        partition = len(key_of(event)) % 2
        offset = offsets.get((event.topic, partition), 0)
        offsets[event.topic, partition] = offset + 1
        result.append(moved(event, offset, partition))
    return result


@st.composite
def event_streams(draw: st.DrawFn, min_size: int = 0, max_size: int = 40) -> list[Event]:
    """Events as they lie in the log, duplicates among them."""
    drawn = draw(st.lists(events, min_size=min_size, max_size=max_size))
    drawn += draw(st.one_of(st.just([]), bursts()))
    again = draw(st.lists(st.sampled_from(drawn), max_size=5)) if drawn else []
    return positioned(draw(st.permutations([*drawn, *again])))


def random_stream(draw: Random, size: int) -> list[Event]:
    """A longer stream of the same kind, from one seed: for what is too slow to be asked a hundred times."""
    bounds = [0, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR, 4 * HOUR + 30 * MINUTE, DAY, DAY + HOUR]

    def time() -> int:
        near = draw.choice(bounds) + draw.randrange(-2, 3)
        return MORNING + 12 * HOUR + draw.choice([near, near, draw.randrange(-2 * HOUR, 2 * DAY)])

    def one() -> Event:
        user, item = draw.choice(USERS), draw.choice(PRODUCTS)
        region, cents = draw.choice(["north", "süd"]), draw.choice([draw.randrange(10**6), 2**62, 9 * 10**18])
        match draw.randrange(10):
            case 0 | 1:
                return purchase(user, time(), item, cents=cents, region=region)
            case 2 | 3:
                return transaction(user, time(), cents=draw.randrange(10**6))
            case 4:
                return product(item, time(), draw.choice(["kitchen", "garden", ""]))
            case 5:
                return profile(user, time(), draw.choice(["new", "regular"]))
            case _:
                action = draw.choice(["impression", "click"])
                return click(user, time(), draw.choice([None, item, item]), action=action, region=region)

    drawn = [one() for _ in range(size)]
    drawn += draw.sample(drawn, size // 10)
    draw.shuffle(drawn)
    return positioned(drawn)
