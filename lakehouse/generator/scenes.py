"""Small stories that every generated day must contain, whatever the seed: the traps for whoever computes it.

Each is played by one user, so that all its events lie in one partition and arrive in the order told here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lakehouse.generator.shop import NO_PRODUCT

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE

LENGTH_MS: Final = 5 * HOUR + 30 * MINUTE
"""The longest scene, so that a start can be chosen which keeps it within the day."""
MIN_CLICKS: Final = 1_000
"""Days with fewer clicks have no scenes."""
BOT_CLICKS: Final = 1_100
"""Over 1,000: anomalous by the number of events."""
MIN_CLICKS_FOR_BOT: Final = 10 * BOT_CLICKS


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a scene. Times are milliseconds after the scene's start; it arrives at `arrives`."""

    at: int
    action: str  # impression, click or purchase
    product: int = NO_PRODUCT
    arrives: int = -1
    again: int = 0
    """How many times more it is sent."""

    @property
    def sent(self) -> int:
        return self.at if self.arrives < 0 else self.arrives


Scene = list[Step]


def late_event_merges_sessions(product: int) -> Scene:
    """Two sessions 31 min apart, then an event 3 min late between them."""
    first, second = Step(0, "impression", product), Step(31 * MINUTE, "impression", product)
    return [first, second, Step(28 * MINUTE, "impression", arrives=31 * MINUTE + SECOND)]


def very_late_event_merges_sessions(product: int) -> Scene:
    """Two sessions 40 min apart, then hours later the event that joins them."""
    visits = [Step(m * MINUTE, "impression", product) for m in (0, 10, 50, 60)]
    return [*visits, Step(30 * MINUTE, "click", product, arrives=4 * HOUR)]


def gap_of_exactly_30_minutes(product: int) -> Scene:
    """A gap of 30:00.000 ends a session, one of 29:59.999 doesn't."""
    times = (0, 30 * MINUTE, 60 * MINUTE - 1)
    return [Step(t, "impression", product) for t in times]


def session_over_4_hours(product: int) -> Scene:
    """Anomalous by its length, cut into two parts."""
    return [Step(m * MINUTE, "impression", product) for m in range(0, 301, 20)]


def bot(product: int) -> Scene:
    """Anomalous by the number of its events, within two hours."""
    return [Step(n * 6 * SECOND, "impression", product) for n in range(BOT_CLICKS)]


def _burst(product: int, *runs: tuple[str, int], again: int = 0) -> Scene:
    """Events 3 s apart from a window's start on, within its 5 min; `again` applies to the clicks."""
    actions = [action for action, count in runs for _ in range(count)]
    return [
        Step(SECOND + n * 3 * SECOND, action, product, again=again if action == "click" else 0)
        for n, action in enumerate(actions)
    ]


def alert_stays_open(product: int) -> Scene:
    return _burst(product, ("impression", 24), ("click", 22))


def alert_is_withdrawn(product: int) -> Scene:
    return _burst(product, ("impression", 22), ("click", 16), ("impression", 30))


def alert_opens_again(product: int) -> Scene:
    return _burst(product, ("impression", 22), ("click", 14), ("impression", 16), ("click", 16))


def duplicates_open_no_alert(product: int) -> Scene:
    """10 clicks on 40 impressions: each sent four times, they would look like an anomaly."""
    return _burst(product, ("impression", 40), ("click", 10), again=3)


def purchases_around_5_minutes(product: int) -> Scene:
    """Attributed at exactly 5 min after the click, not a millisecond later; the latest of two clicks wins."""
    return [
        Step(0, "click", product),
        Step(5 * MINUTE, "purchase", product),
        Step(10 * MINUTE, "click", product),
        Step(15 * MINUTE + 1, "purchase", product),
        Step(20 * MINUTE, "click", product),
        Step(20 * MINUTE, "click", product),
        Step(21 * MINUTE, "purchase", product),
    ]


def click_arrives_after_its_purchase(product: int) -> Scene:
    return [Step(0, "impression", product), Step(MINUTE, "purchase", product), Step(0, "click", product, 4 * MINUTE)]


SCENES: Final = (
    late_event_merges_sessions,
    very_late_event_merges_sessions,
    gap_of_exactly_30_minutes,
    session_over_4_hours,
    alert_stays_open,
    alert_is_withdrawn,
    alert_opens_again,
    duplicates_open_no_alert,
    purchases_around_5_minutes,
    click_arrives_after_its_purchase,
)


def scenes_for(clicks: int, purchases: int, products: Iterator[int]) -> list[Scene]:
    """The scenes of a day of this size; each takes the next of `products`. None on days that are too small."""
    if clicks < MIN_CLICKS or purchases < 10:
        return []
    repeats = max(1, min(clicks // 100_000, purchases // 10))
    scenes = [scene(next(products)) for _ in range(repeats) for scene in SCENES]
    if clicks >= MIN_CLICKS_FOR_BOT:
        scenes.append(bot(next(products)))
    return scenes
