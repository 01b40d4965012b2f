"""Small stories of transactions that every generated day must contain, whatever the seed: bursts that are flagged and
blocked, and those that lie a millisecond beside.

Each is played by one user, so that all its transactions lie in one partition and arrive in the order told here.
"""

from dataclasses import dataclass
from typing import Final

from lakehouse.generator.scenes import HOUR, MINUTE, SECOND

MIN_TRANSACTIONS: Final = 200
"""Days with fewer have no scenes."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One transaction of a scene. Times are milliseconds after the scene's start; it arrives at `arrives`."""

    at: int
    arrives: int = -1
    again: int = 0
    """How many times more it is sent."""

    @property
    def sent(self) -> int:
        return self.at if self.arrives < 0 else self.arrives


FraudScene = list[Payment]


def _every(ms: int, count: int) -> FraudScene:
    return [Payment(n * ms) for n in range(count)]


def six_in_under_10_minutes() -> FraudScene:
    """The last one is flagged."""
    return [*_every(SECOND, 5), Payment(10 * MINUTE - 1)]


def six_in_exactly_10_minutes() -> FraudScene:
    """None is flagged: the first five no longer count."""
    return [*_every(0, 5), Payment(10 * MINUTE)]


def eleven_in_under_1_hour() -> FraudScene:
    """The last one is blocked, and none flagged."""
    return _every(6 * MINUTE - 1, 11)


def a_block_ends() -> FraudScene:
    """A trigger at 10 s: blocked until a millisecond before it is an hour old."""
    return [*_every(SECOND, 11), Payment(HOUR + 10 * SECOND - 1), Payment(HOUR + 10 * SECOND)]


def a_block_goes_on() -> FraudScene:
    """Each from the 11th on triggers a new hour, as blocked ones count too."""
    return _every(5 * MINUTE, 40)


def twelve_at_once() -> FraudScene:
    """Ties: only their ids say which is the sixth and which the eleventh."""
    return _every(0, 12)


def a_late_one_flags_what_came_after_it() -> FraudScene:
    """Five, then one that is 3 min late and lies before them: the fifth of them becomes the sixth."""
    return [*[Payment(MINUTE + p.at) for p in _every(MINUTE, 5)], Payment(2 * MINUTE + 1, arrives=5 * MINUTE + SECOND)]


def a_very_late_one_blocks_what_came_after_it() -> FraudScene:
    """Ten, and half an hour later one more; hours later one arrives that makes the tenth the eleventh."""
    late = Payment(MINUTE + 1, arrives=4 * HOUR)
    return [*_every(MINUTE, 10), Payment(40 * MINUTE), late]


def duplicates_flag_nobody() -> FraudScene:
    """Four, each sent four times."""
    return [Payment(p.at, again=3) for p in _every(20 * SECOND, 4)]


FRAUD_SCENES: Final = (
    six_in_under_10_minutes,
    six_in_exactly_10_minutes,
    eleven_in_under_1_hour,
    a_block_ends,
    a_block_goes_on,
    twelve_at_once,
    a_late_one_flags_what_came_after_it,
    a_very_late_one_blocks_what_came_after_it,
    duplicates_flag_nobody,
)


def fraud_scenes_for(transactions: int) -> list[FraudScene]:
    """The scenes of a day with so many transactions; none on days that are too small."""
    if transactions < MIN_TRANSACTIONS:
        return []
    return [scene() for _ in range(max(1, transactions // 20_000)) for scene in FRAUD_SCENES]
