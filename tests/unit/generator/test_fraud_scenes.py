"""The scenes of transactions are what they say, alone and within a day."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest

from lakehouse.contracts.validation import Valid, validate
from lakehouse.generator import fraud_scenes as scenes
from lakehouse.generator.render import records
from lakehouse.generator.scenes import HOUR, LENGTH_MS, MINUTE
from lakehouse.generator.traffic import ShopDay
from lakehouse.semantics import Events, Transaction
from lakehouse.semantics.metrics.fraud_decisions.reference import compute as fraud_decisions
from tests.strategies import at, transaction

NOW_MS = int(time.time() * 1000)


def outcome(scene: scenes.FraudScene) -> tuple[int, int]:
    """How many of a scene's transactions are flagged and blocked."""
    told = [transaction("ana", at("10:00") + step.at, event_id=f"{n:03d}") for n, step in enumerate(scene)]
    rows = list(fraud_decisions(Events.of(told)))
    return sum(row["flagged"] for row in rows), sum(row["blocked"] for row in rows)


@pytest.mark.parametrize(
    ("scene", "flagged", "blocked"),
    [
        (scenes.six_in_under_10_minutes, 1, 0),
        (scenes.six_in_exactly_10_minutes, 0, 0),
        (scenes.eleven_in_under_1_hour, 0, 1),
        (scenes.a_block_ends, 6, 2),
        (scenes.a_block_goes_on, 0, 30),
        (scenes.twelve_at_once, 7, 2),
        (scenes.a_late_one_flags_what_came_after_it, 1, 0),
        (scenes.a_very_late_one_blocks_what_came_after_it, 6, 2),
        (scenes.duplicates_flag_nobody, 0, 0),
    ],
)
def test_a_scene_flags_and_blocks_as_many_as_it_says(
    scene: Callable[[], scenes.FraudScene], flagged: int, blocked: int
) -> None:
    assert outcome(scene()) == (flagged, blocked)


@pytest.mark.parametrize(
    ("scene", "before"),
    [
        (scenes.a_late_one_flags_what_came_after_it, (0, 0)),
        (scenes.a_very_late_one_blocks_what_came_after_it, (5, 1)),
    ],
)
def test_what_comes_late_changes_what_was_decided(
    scene: Callable[[], scenes.FraudScene], before: tuple[int, int]
) -> None:
    assert outcome([step for step in scene() if step.arrives < 0]) == before != outcome(scene())


def test_every_scene_has_a_case_and_fits_into_a_day() -> None:
    assert len(scenes.FRAUD_SCENES) == 9
    for scene in scenes.FRAUD_SCENES:
        assert max(max(step.at, step.sent) for step in scene()) < LENGTH_MS


def sent(day: ShopDay) -> list[Transaction]:
    """The valid transactions of a day, duplicates among them, in sending order."""
    found = []
    for record in (record for chunk in records(day) for record in chunk if record[0] == "shop.transactions"):
        verdict = validate(*record, NOW_MS)
        if isinstance(verdict, Valid):
            position = ("shop.transactions", 0, len(found), NOW_MS, 0)
            found.append(Transaction._make((*verdict.fields.values(), *position)))
    return found


def test_a_day_holds_flags_blocks_ties_duplicates_and_late_ones(seed: int) -> None:
    day = ShopDay(date(2026, 3, 2), clicks=2_000, purchases=20, transactions=1_000, seed=seed, broken=0.01)
    arrived = sent(day)
    unique = {(t.user_id, t.event_id, t.event_time): t for t in arrived}
    assert (len(unique), len(arrived) > 1_000) == (1_000, True)

    rows = list(fraud_decisions(Events.of(unique.values())))
    assert sum(row["flagged"] for row in rows) >= 20
    assert sum(row["blocked"] for row in rows) >= 35
    at_once = Counter((row["user_id"], row["event_time"]) for row in rows if row["blocked"] and row["flagged"])
    assert max(at_once.values()) >= 2, "no ties"

    latest, behind = 0, []
    for one in arrived:
        behind.append(latest - one.event_time)
        latest = max(latest, one.event_time)
    assert any(MINUTE < ms <= 6 * MINUTE for ms in behind)
    assert any(ms > 6 * MINUTE for ms in behind)
    assert any(ms > 3 * HOUR for ms in behind)
