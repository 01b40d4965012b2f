"""What a run of Airflow had asked for of replays is withdrawn when it is over; nobody's change sets are not taken."""

from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import polars as pl
import pytest
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from jobs.batch.replay.ended import withdraw_ended
from jobs.batch.replay.swap import apply
from lakehouse.delta import create_table, scan
from lakehouse.object_store import build_client
from lakehouse.replay import store
from lakehouse.replay.affected import Touched
from lakehouse.replay.plan import Plan
from lakehouse.replay.request import SILVER, Engine, Request
from lakehouse.replay.staging import prefix
from lakehouse.replay.states import connected
from lakehouse.replay.store import Kind, ReplayError, State
from lakehouse.replay.withdrawal import ask_undo, left_behind, open_for_runs, owed, withdraw
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

RUN = "replay/manual__2026-03-01T00:00:00+00:00"
OTHER = "replay/manual__2026-03-01T00:00:00+00:00_2"
TOTALS, MART = "gold.user_totals", "marts.region_daily"
PINNED = dict.fromkeys((*SILVER.values(), "silver.products"), 0)


@pytest.fixture
def settings(stack: "Stack") -> Settings:
    """A tenant of its own, without replays."""
    base = stack.ensure("postgres", "minio")
    return base.model_copy(update={"namespace": f"w{uuid4().hex[:8]}"})


def planned(settings: Settings, run: str | None = RUN, *tables: str) -> int:
    """A replay as it is once it was planned, without the events that it is about."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    engine = Engine.POLARS if MART in tables else Engine.SPARK
    request = Request.checked(start, start.replace(day=2), datetime.now(UTC), targets=tables or [TOTALS], engine=engine)
    touched = tuple(Touched(name, 1, (), 0, 0) for name in tables or [TOTALS])
    plan = Plan(request, start, "code", {}, {}, (), {}, touched, 0, None)
    with connected(settings) as database:
        row = database.execute(
            "INSERT INTO replay.replays (namespace, state, plan, requested_by, run) "
            "VALUES (%s, 'planned', %s, 'test', %s) RETURNING id",
            [settings.namespace, Jsonb(TypeAdapter(Plan).dump_python(plan, mode="json")), run],
        ).fetchone()
    assert row is not None
    return int(row[0])


def at(settings: Settings, state: State, run: str | None = RUN, *tables: str) -> int:
    """A replay that has come so far."""
    number = planned(settings, run, *tables)
    store.advance(settings, number, (State.PLANNED,), state)
    return number


def handed_over(settings: Settings, run: str | None = RUN, **content: Any) -> int:
    """A replay whose change set waits for its owner."""
    number = planned(settings, run)
    staged = {TOTALS: {"path": "s3a://nowhere", "version": 0}}
    recomputed = {"pinned": PINNED, "bounds": {}, "staged": staged, "seconds": 1.0}
    store.advance(settings, number, (State.PLANNED,), State.SWAPPING, recomputed=recomputed, diff={"tables": []})
    store.hand_over(settings, number, Kind.SWAP, content)
    return number


def nobody_waits(settings: Settings) -> None:
    """As if whoever handed a change set over had died more than a minute ago."""
    with connected(settings) as database:
        database.execute(
            "UPDATE replay.change_sets SET awaited_until = clock_timestamp() WHERE namespace = %s", [settings.namespace]
        )


@pytest.mark.parametrize("state", [State.PLANNED, State.APPROVED, State.RECOMPUTED, State.COMPARED, State.SWAPPING])
def test_the_end_of_its_run_cancels_a_replay_of_which_nothing_is_in_place(settings: Settings, state: State) -> None:
    mine, others = at(settings, state), at(settings, state, OTHER)
    by_hand = at(settings, state, None)

    assert withdraw(settings, RUN) == [mine]
    assert withdraw(settings, RUN) == []

    assert store.get(settings, mine).state is State.CANCELLED
    assert [store.get(settings, number).state for number in (others, by_hand)] == [state, state]
    assert open_for_runs(settings) == [(others, OTHER)]
    with pytest.raises(ReplayError, match="cancelled"):
        store.approve(settings, mine, "too late")


def test_a_run_of_another_tenant_is_another_run(settings: Settings) -> None:
    tenant = settings.model_copy(update={"namespace": settings.namespace + "x"})
    number = planned(tenant)
    assert withdraw(settings, RUN) == []
    assert store.get(tenant, number).state is State.PLANNED


def test_a_change_set_of_a_run_that_is_over_is_not_taken(settings: Settings) -> None:
    number = handed_over(settings)
    assert store.waiting(settings)

    assert withdraw(settings, RUN) == [number]

    assert not store.waiting(settings)
    assert store.take(settings) is None


def test_a_change_set_that_its_owner_has_begun_is_seen_through(settings: Settings) -> None:
    number = handed_over(settings)
    taken = store.take(settings)
    assert taken is not None
    assert taken.replay == number

    assert withdraw(settings, RUN) == []
    with pytest.raises(ReplayError, match=f"being put in place. `lakehouse replay run {number}`"):
        store.cancel(settings, number)

    nobody_waits(settings)
    again = store.take(settings)
    assert again is not None
    assert (again.replay, again.attempts) == (number, 1)


def test_a_change_set_is_taken_only_while_somebody_waits_for_it(settings: Settings) -> None:
    number = handed_over(settings, None)
    nobody_waits(settings)
    assert not store.waiting(settings)
    assert store.take(settings) is None

    found = store.awaited(settings, number, Kind.SWAP)

    assert found is not None
    assert found.state == "waiting"
    assert store.waiting(settings)
    assert store.take(settings) is not None


def test_a_process_that_outlives_its_run_hands_nothing_over(settings: Settings) -> None:
    number = at(settings, State.SWAPPING)
    assert withdraw(settings, RUN) == [number]
    with pytest.raises(ReplayError, match="its swap was cancelled"):
        apply(settings, number, Kind.SWAP, (), {}, {}, None)
    assert not store.waiting(settings)


def test_marts_that_are_being_published_are_not_withdrawn(settings: Settings) -> None:
    number = at(settings, State.SWAPPING, RUN, MART)
    assert withdraw(settings, RUN) == []
    assert withdraw_ended(settings, lambda _: False) == []
    assert store.get(settings, number).state is State.SWAPPING


def test_an_undo_of_a_run_that_is_over_can_be_asked_for_again(settings: Settings) -> None:
    number = at(settings, State.DONE)
    for content in ({"try": 1}, {"try": 2}):
        ask_undo(settings, number, RUN)
        store.advance(settings, number, (State.DONE,), State.UNDOING)
        store.hand_over(settings, number, Kind.UNDO, content)
        assert open_for_runs(settings) == [(number, RUN)]
        if content["try"] == 1:
            assert withdraw(settings, RUN) == [number]
            assert store.get(settings, number).state is State.DONE
            assert store.take(settings) is None
    taken = store.take(settings)
    assert taken is not None
    assert (taken.kind, taken.content, taken.attempts) == (Kind.UNDO, {"try": 2}, 0)


def test_the_end_of_the_run_that_made_a_replay_leaves_its_undo_alone(settings: Settings) -> None:
    number = at(settings, State.UNDOING)
    ask_undo(settings, number, OTHER)
    assert withdraw(settings, RUN) == []
    assert withdraw(settings, OTHER) == [number]


def test_an_undo_that_waits_can_be_cancelled_by_hand(settings: Settings) -> None:
    number = at(settings, State.UNDOING, None)
    store.hand_over(settings, number, Kind.UNDO, {})
    assert store.cancel(settings, number).state is State.DONE
    assert store.take(settings) is None


def test_runs_that_ended_unseen_are_found_and_what_was_staged_is_removed(settings: Settings) -> None:
    over, going = planned(settings), planned(settings, OTHER)
    key = f"{settings.namespace}/staging/{prefix(over)}gold__user_totals/part.parquet"
    build_client(settings).put_object(settings.bucket, key, BytesIO(b"rows"), 4)

    def goes_on(run: str) -> bool:
        return run == OTHER

    assert owed(settings, goes_on)
    assert withdraw_ended(settings, goes_on) == [f"replay {over}: withdrawn, as {RUN} is over"]
    assert not owed(settings, goes_on)

    assert store.get(settings, over).state is State.CANCELLED
    assert store.get(settings, going).state is State.PLANNED
    staged = build_client(settings).list_objects(settings.bucket, f"{settings.namespace}/staging/", recursive=True)
    assert list(staged) == []


def test_what_a_listener_has_withdrawn_is_cleaned_up_by_the_next_look(settings: Settings) -> None:
    number = planned(settings)
    withdraw(settings, RUN)
    assert left_behind(settings) == [number]
    assert owed(settings, lambda _: True)
    assert withdraw_ended(settings, lambda _: True) == []
    assert left_behind(settings) == []


def test_what_was_swapped_in_while_its_run_ended_is_noted_and_blocks_nothing(settings: Settings) -> None:
    number = handed_over(settings)
    assert store.take(settings) is not None
    assert withdraw_ended(settings, lambda _: False) == [], "it is in the owner's hands"
    result = {"versions": {TOTALS: 3}, "silver": PINNED, "after": {TOTALS: 4}}
    store.settle(settings, number, Kind.SWAP, result)
    create_table(settings, "ops.replays")

    (said,) = withdraw_ended(settings, lambda _: False)

    assert said == f"replay {number}: done; {RUN} ended while it was put in place"
    assert store.get(settings, number).outcome == result
    assert scan(settings, "ops.replays").filter(pl.col("replay") == number).collect()["version_after"].to_list() == [4]
    assert open_for_runs(settings) == []


def test_a_swap_that_was_refused_after_its_run_ended_has_failed(settings: Settings) -> None:
    number = handed_over(settings)
    assert store.take(settings) is not None
    store.settle(settings, number, Kind.SWAP, None, "its contracts have changed")
    (said,) = withdraw_ended(settings, lambda _: False)
    assert said == f"replay {number}: failed; {RUN} ended while it was put in place"


def test_tables_of_an_earlier_version_gain_what_they_lack(settings: Settings) -> None:
    number = handed_over(settings)
    with connected(settings) as database:
        database.execute("ALTER TABLE replay.change_sets DROP COLUMN awaited_until")
        database.execute("ALTER TABLE replay.replays DROP COLUMN run, DROP COLUMN undo_run")
    assert store.waiting(settings)
    assert open_for_runs(settings) == []
    assert store.get(settings, number).state is State.SWAPPING
