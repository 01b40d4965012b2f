"""One generated shop day, from its parameters to columns of records in sending order."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from lakehouse.generator.broken import BROKEN, BROKEN_TRANSACTIONS
from lakehouse.generator.fraud_scenes import fraud_scenes_for
from lakehouse.generator.scenes import HOUR, LENGTH_MS, MINUTE, SECOND, scenes_for
from lakehouse.generator.shop import (
    MERCHANTS,
    NO_PRODUCT,
    PAGES,
    PRODUCT_PAGE,
    PRODUCTS,
    REGIONS,
    UNLISTED_PRODUCTS,
    Ints,
    base_prices,
    draw_products,
    is_new,
    rng,
    user_regions,
)

DAY_MS: Final = 24 * HOUR
IMPRESSION, CLICK, PURCHASE, TRANSACTION, BROKEN_RECORD, BROKEN_TRANSACTION = range(6)
"""What a record is."""
PLAIN, RETRIED, CONFLICTING, OTHER_ZONE, MICROSECONDS, NULLS_ABSENT, REORDERED = range(7)
"""How it is written: all valid, all but `CONFLICTING` meaning the same as `PLAIN`."""

_HOURLY: Final = (3, 2, 1, 1, 1, 2, 4, 6, 8, 9, 10, 11, 12, 11, 10, 10, 11, 13, 15, 17, 18, 15, 10, 6)
"""How busy each hour of the day is, relatively."""
_HOT_USERS: Final = 10
_EVENTS_PER_SESSION: Final = 10
_ODD_FORMS: Final = 0.004
_UNLISTED: Final = 0.003
"""Share of clicks on products that stand in no catalogue."""


@dataclass(frozen=True, slots=True)
class ShopDay:
    """Parameters of a generated day; shares are of the day's valid events.

    `clicks`, `purchases` and `transactions` count distinct valid events of ``shop.clicks`` (impressions too),
    ``shop.purchases`` and ``shop.transactions``, duplicates and broken ones apart. Event times lie within `span_hours`
    from `day` 00:00 UTC. `late` events arrive 2.5 to 5.3 min behind, `very_late` ones 10 min to 6 h; of the
    `duplicates` one in ten comes hours later. `hot` is the share of sessions, and of transactions, of the ten busiest
    users.

    Raises:
        ValueError: a parameter is out of its range; the message names it.
    """

    day: date
    clicks: int = 1_000_000
    purchases: int = 10_000
    seed: int = 1
    late: float = 0.02
    very_late: float = 0.002
    duplicates: float = 0.01
    broken: float = 0.0
    hot: float = 0.02
    span_hours: float = 24.0
    transactions: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "very_late", "duplicates", "broken", "hot"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise ValueError(f"{name} must be a share from 0 to 0.5, not {getattr(self, name)}")
        for name in ("clicks", "purchases", "transactions", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, and is {getattr(self, name)}")
        if not 0 < self.span_hours <= 24:
            raise ValueError(f"span_hours must be above 0 and at most 24, not {self.span_hours}")

    @property
    def span_ms(self) -> int:
        return int(self.span_hours * HOUR)

    @property
    def number(self) -> int:
        """A number of the day: with the seed, it makes each day's draws its own."""
        return self.day.toordinal()


@dataclass(slots=True)
class Columns:
    """Records as columns of equal length. Times are milliseconds of the day; `sent` orders them.

    `number` makes the event id; for a broken record it picks the kind of damage. Of a transaction, `product` is the
    merchant and `page` is 1 for a high priority.
    """

    kind: Ints
    number: Ints
    time: Ints
    user: Ints
    product: Ints
    page: Ints
    region: Ints
    quantity: Ints
    amount: Ints
    sent: Ints
    form: Ints

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: Ints) -> "Columns":
        return Columns(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def join(parts: list["Columns"]) -> "Columns":
        return Columns(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Columns)))


def build(day: ShopDay) -> Columns:
    """All records of `day` in the order in which they are sent."""
    random = rng(day.seed, day.number, 10)
    users = _users(day)
    staged, repeats = _staged(day, random, users)
    browsing = _browsing(day, random, day.clicks - int(np.sum(staged.kind != PURCHASE)), users)
    shopping = _shopping(day, random, day.purchases - int(np.sum(staged.kind == PURCHASE)), browsing)
    scattered = Columns.join([browsing, shopping])
    _delay(day, random, scattered)
    events = Columns.join([scattered, staged])
    _describe(day, random, events)
    repeated = np.repeat(np.arange(len(scattered), len(events)), repeats)
    _write_oddly(random, events)
    again = _duplicates(day, random, events, repeated)
    broken = _broken(day, random, events, BROKEN_RECORD)
    # After all else and by draws of their own: transactions leave the rest of the day as it is.
    paid = _transactions(day, int(events.user.max(initial=0)) + 1, users)
    records = Columns.join([events, again, broken, paid])
    return records.take(np.argsort(records.sent, kind="stable"))


def _transactions(day: ShopDay, staged_user: int, users: int) -> Columns:
    """All records of ``shop.transactions``: of the first `users` at random, and the scenes, whose users begin with
    `staged_user`."""
    random = rng(day.seed, day.number, 11)
    staged, repeats = _staged_transactions(day, random, staged_user)
    count = max(0, day.transactions - len(staged))
    scattered = _empty(count)
    scattered.time = _busy_times(day, random, count).astype(np.int64)
    scattered.user = np.where(
        random.random(count) < day.hot, random.integers(_HOT_USERS, size=count), random.integers(users, size=count)
    )
    _delay(day, random, scattered)
    events = Columns.join([scattered, staged])
    count = len(events)
    events.kind[:] = TRANSACTION
    events.number = np.arange(count)
    events.product = draw_products(random, count) % MERCHANTS
    events.page = (random.random(count) < 0.1).astype(np.int64)
    home = user_regions(day.seed, int(events.user.max(initial=0)) + 1)
    travels = random.random(count) < 0.02
    events.region = np.where(travels, random.integers(len(REGIONS), size=count), home[events.user])
    events.amount = np.clip(random.lognormal(8.0, 1.2, count), 0, 10_000_000).astype(np.int64)
    repeated = np.repeat(np.arange(len(scattered), count), repeats)
    _write_oddly(random, events)
    again = _duplicates(day, random, events, repeated)
    return Columns.join([events, again, _broken(day, random, events, BROKEN_TRANSACTION)])


def _staged_transactions(day: ShopDay, random: np.random.Generator, first_user: int) -> tuple[Columns, Ints]:
    """The scenes' transactions, and how often each is repeated."""
    scenes = fraud_scenes_for(day.transactions) if day.span_ms > LENGTH_MS else []
    slots = (day.span_ms - LENGTH_MS) // MINUTE
    rows = []
    for number, scene in enumerate(scenes):
        start = int(random.integers(slots + 1)) * MINUTE
        rows += [(start + p.at, first_user + number, start + p.sent, p.again) for p in scene]
    staged, repeats = _empty(len(rows)), np.zeros(len(rows), np.int64)
    if rows:
        staged.time, staged.user, staged.sent, repeats = np.array(rows, np.int64).T
    return staged, repeats


def _empty(count: int) -> Columns:
    columns = {f.name: np.zeros(count, np.int64) for f in fields(Columns)}
    columns["product"] -= 1
    return Columns(**columns)


def _users(day: ShopDay) -> int:
    """As many as make pauses of several hours between the sessions of one."""
    sessions = day.clicks / _EVENTS_PER_SESSION
    return max(_HOT_USERS + 1, round(sessions / max(1.0, day.span_hours / 8)))


def _staged(day: ShopDay, random: np.random.Generator, users: int) -> tuple[Columns, Ints]:
    """The scenes' events, and how often each is repeated. Their users come after the first `users`."""
    # Of known products: a scene may be a twentieth of a small day, and new ones are not enriched.
    tail = (n for n in (PRODUCTS // 2 + random.permutation(PRODUCTS // 2)).tolist() if not is_new(n))
    scenes = scenes_for(day.clicks, day.purchases, tail) if day.span_ms > LENGTH_MS else []
    slots = (day.span_ms - LENGTH_MS) // (5 * MINUTE)
    rows = []
    for number, scene in enumerate(scenes):
        start = int(random.integers(slots + 1)) * 5 * MINUTE
        for step in scene:
            kind = {"impression": IMPRESSION, "click": CLICK, "purchase": PURCHASE}[step.action]
            rows.append((kind, start + step.at, users + number, step.product, start + step.sent, step.again))
    staged, repeats = _empty(len(rows)), np.zeros(len(rows), np.int64)
    if rows:
        told = np.array(rows, np.int64).T
        staged.kind, staged.time, staged.user, staged.product, staged.sent, repeats = told
    return staged, repeats


def _browsing(day: ShopDay, random: np.random.Generator, count: int, users: int) -> Columns:
    """Sessions of impressions and clicks: a click is on the product that the user has just seen."""
    if count <= 0:
        return _empty(0)
    sizes = 1 + np.minimum(random.lognormal(1.9, 0.9, count // 8 + 100), 150).astype(np.int64)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    sizes[-1] -= int(np.sum(sizes)) - count
    session = np.repeat(np.arange(len(sizes)), sizes)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    gaps = np.minimum(random.lognormal(9.6, 1.2, count), 20 * MINUTE)
    gaps[first] = 0
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[first][session]
    # A session that is longer than the span is squeezed into it.
    lengths = elapsed[first + sizes - 1]
    elapsed *= np.minimum(1, day.span_ms * 0.9 / np.maximum(lengths, 1))[session]
    begin = _busy_times(day, random, len(sizes))
    latest = day.span_ms - 1 - elapsed[first + sizes - 1]
    begin = np.minimum(begin, latest)

    hot = random.random(len(sizes)) < day.hot
    user = np.where(hot, random.integers(_HOT_USERS, size=len(sizes)), random.integers(users, size=len(sizes)))

    events = _empty(count)
    events.time = (begin[session] + elapsed).astype(np.int64)
    events.user = user[session]
    events.product = draw_products(random, count)
    unlisted = random.random(count) < _UNLISTED
    events.product[unlisted] = PRODUCTS + random.integers(UNLISTED_PRODUCTS, size=int(unlisted.sum()))
    events.product[random.random(count) < 0.08] = NO_PRODUCT
    click = random.random(count) < 0.15
    click[first] = False
    click[1:] &= ~click[:-1] & (events.product[:-1] != NO_PRODUCT)
    seen = np.flatnonzero(click)
    events.product[seen] = events.product[seen - 1]
    events.kind[seen] = CLICK
    return events


def _busy_times(day: ShopDay, random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """So many times within the span, more of them in the busy hours."""
    busy = np.concatenate([[0], np.cumsum(_HOURLY)]) / sum(_HOURLY)
    times: npt.NDArray[np.float64] = np.interp(random.random(count), busy, np.linspace(0, day.span_ms, len(busy)))
    return np.minimum(times, day.span_ms - 1)


def _shopping(day: ShopDay, random: np.random.Generator, count: int, browsing: Columns) -> Columns:
    """Purchases: most within 5 min of the user's click on the product, some later, some without any click."""
    if count <= 0:
        return _empty(0)
    early = browsing.time < day.span_ms * 0.97
    causes = np.flatnonzero(early & (browsing.kind == CLICK))
    if not len(causes):
        causes = np.flatnonzero(early)
    if len(causes):
        cause = browsing.take(causes[random.integers(len(causes), size=count)])
    else:
        cause = _empty(count)
        cause.time = random.integers(day.span_ms, size=count)
    attributed = random.random(count) < 0.85
    after = np.where(attributed, random.uniform(10, 290, count), random.uniform(310, 1_800, count)) * SECOND
    bought = _empty(count)
    bought.kind[:] = PURCHASE
    bought.time = np.minimum(cause.time + after.astype(np.int64), day.span_ms - 1)
    bought.user = cause.user
    bought.product = np.where(random.random(count) < 0.95, cause.product, draw_products(random, count))
    return bought


def _delay(day: ShopDay, random: np.random.Generator, events: Columns) -> None:
    """When each arrives: seconds after its time, or minutes, or hours."""
    count = len(events)
    delay = np.minimum(random.exponential(5 * SECOND, count), 45 * SECOND)
    drawn = random.random(count)
    late = drawn < day.late
    very_late = (drawn >= day.late) & (drawn < day.late + day.very_late)
    delay = np.where(late, random.uniform(2.5 * MINUTE, 5.3 * MINUTE, count), delay)
    delay = np.where(very_late, 10 * MINUTE * np.exp(random.random(count) * np.log(36)), delay)
    events.sent = events.time + delay.astype(np.int64)


def _describe(day: ShopDay, random: np.random.Generator, events: Columns) -> None:
    """Fill what doesn't decide who does what when: ids, pages, regions, amounts."""
    count = len(events)
    purchase = events.kind == PURCHASE
    events.number = np.where(purchase, np.cumsum(purchase), np.cumsum(~purchase)) - 1
    elsewhere = random.integers(PRODUCT_PAGE + 1, len(PAGES), size=count)
    events.page = np.where(events.product == NO_PRODUCT, elsewhere, PRODUCT_PAGE)
    home = user_regions(day.seed, int(events.user.max(initial=0)) + 1)
    travels = random.random(count) < 0.01
    events.region = np.where(travels, random.integers(len(REGIONS), size=count), home[events.user])
    events.product[purchase & (events.product == NO_PRODUCT)] = 0
    events.quantity = random.geometric(0.7, count).astype(np.int64)
    events.amount = events.quantity * base_prices(day.seed)[events.product]


def _write_oddly(random: np.random.Generator, events: Columns) -> None:
    """Give some events another way of being written."""
    odd = random.random(len(events)) < _ODD_FORMS
    events.form[odd] = random.integers(OTHER_ZONE, REORDERED + 1, size=int(odd.sum()))


def _duplicates(day: ShopDay, random: np.random.Generator, events: Columns, repeated: Ints) -> Columns:
    """The same events again: shortly after, or hours after; some say something else the second time.

    `repeated` are those that a scene repeats, at once.
    """
    chosen = random.integers(len(events), size=round(day.duplicates * len(events))) if len(events) else repeated
    again = events.take(np.concatenate([chosen, repeated]))
    far = random.random(len(again)) < 0.1
    far[len(chosen) :] = False
    wait = np.where(far, random.uniform(HOUR, 10 * HOUR, len(again)), random.uniform(1, 90 * SECOND, len(again)))
    wait[len(chosen) :] = 1
    again.sent = again.sent + wait.astype(np.int64)
    again.form = np.where(random.random(len(again)) < 0.6, again.form, RETRIED)
    again.form[random.random(len(again)) < 0.1] = CONFLICTING
    return again


def _broken(day: ShopDay, random: np.random.Generator, events: Columns, kind: int) -> Columns:
    """Damaged copies at random moments: every damage of the `kind` in turn."""
    if day.broken == 0 or not len(events):
        return _empty(0)
    damages = len(BROKEN if kind == BROKEN_RECORD else BROKEN_TRANSACTIONS)
    count = max(damages, round(day.broken * len(events)))
    damaged = replace(events.take(random.integers(len(events), size=count)), number=np.arange(count))
    damaged.kind = np.full(count, kind)
    damaged.sent = random.integers(day.span_ms, size=count)
    return damaged


def chunks(columns: Columns, size: int) -> Iterator[Columns]:
    for start in range(0, len(columns), size):
        yield columns.take(np.arange(start, min(start + size, len(columns))))
