"""Replays and their change sets in PostgreSQL, schema ``replay``; each namespace sees its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, class_row
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from lakehouse.escaping import escaped
from lakehouse.replay.plan import Plan, make_plan
from lakehouse.replay.request import Engine, Request
from lakehouse.replay.states import BEFORE_THE_SWAP, OPEN, Kind, ReplayError, State, connected
from lakehouse.replay.withdrawal import take_back
from lakehouse.settings import Settings

__all__ = ["OPEN", "Kind", "ReplayError", "State"]

_PLAN: Final = TypeAdapter(Plan)

AWAITED_SECONDS: Final = 60
"""So long the owner takes a change set for whose end somebody has asked. Who waits asks each second."""
_TO_TAKE: Final = "namespace = %s AND state = 'waiting' AND (attempts > 0 OR awaited_until > clock_timestamp())"
ERROR_LENGTH: Final = 2_000
"""Characters of an error that are kept."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay, as far as it has come."""

    id: int
    state: State
    plan: Plan
    recomputed: dict[str, Any] | None
    diff: dict[str, Any] | None
    outcome: dict[str, Any] | None
    undone: dict[str, Any] | None
    error: str | None
    requested_by: str
    approved_by: str | None
    requested_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Handed:
    """A change set as its owner sees it; `content` is that of `lakehouse.replay.change_set.ChangeSet`."""

    replay: int
    kind: Kind
    content: dict[str, Any]
    state: str
    attempts: int
    result: dict[str, Any] | None
    error: str | None


def plan_replay(settings: Settings, request: Request, requested_by: str, run: str | None = None) -> Replay:
    """Plans a replay and keeps it, to be approved. `run`: the Airflow run that asks for it, and whose end withdraws it.

    Raises:
        RequestError: no event lies in the range.
        ReplayError: it overlaps one that is not finished.
        TableMissingError, ServiceDownError: as `lakehouse.replay.plan.make_plan`; PostgreSQL does not answer.
    """
    plan = make_plan(settings, request, _rate(newest_first(settings, limit=100), request.engine))
    with connected(settings) as database:
        database.execute("SELECT pg_advisory_xact_lock(hashtext('replay plans'))")
        for other in _all(database, settings, OPEN):
            if shared := plan.overlap(other.plan):
                raise ReplayError(
                    f"replay {other.id} ({other.state}) is to write {shared} too: let it end, or cancel it by "
                    f"`lakehouse replay cancel {other.id}`"
                )
        row = database.execute(
            "INSERT INTO replay.replays (namespace, state, plan, requested_by, run) VALUES (%s, %s, %s, %s, %s) "
            "RETURNING id",
            [settings.namespace, State.PLANNED, Jsonb(_PLAN.dump_python(plan, mode="json")), requested_by, run],
        ).fetchone()
        return _one(database, settings, row[0] if row else 0)


def _rate(replays: Sequence[Replay], engine: Engine) -> float | None:
    """Events per second of the replays that `engine` carried out; None without one."""
    done = [
        (replay.plan.reads, replay.recomputed["seconds"])
        for replay in replays
        if replay.recomputed and replay.plan.request.engine is engine
    ]
    return sum(reads for reads, _ in done) / sum(seconds for _, seconds in done) if done else None


def approve(settings: Settings, number: int, who: str) -> Replay:
    """Lets a planned replay be carried out. Raises ReplayError, ServiceDownError."""
    return advance(settings, number, (State.PLANNED,), State.APPROVED, approved_by=who)


def get(settings: Settings, number: int) -> Replay:
    """Raises ReplayError: there is none of this number. ServiceDownError."""
    with connected(settings) as database:
        return _one(database, settings, number)


def newest_first(settings: Settings, limit: int = 20) -> list[Replay]:
    """Raises ServiceDownError."""
    with connected(settings) as database:
        return _all(database, settings)[:limit]


def advance(settings: Settings, number: int, before: tuple[State, ...], after: State, **values: Any) -> Replay:
    """Moves a replay from one of the states `before` to `after`, and keeps `values` (columns) with it; the error of an
    earlier attempt is over then.

    Raises:
        ReplayError: it is in another state: somebody cancelled it, or a step was left out.
        ServiceDownError: PostgreSQL does not answer.
    """
    values = {"error": None} | values
    columns = [sql.SQL(", {} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values]
    given = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
    with connected(settings) as database:
        moved = database.execute(
            sql.SQL(
                "UPDATE replay.replays SET state = %(after)s, changed_at = clock_timestamp(){} "
                "WHERE id = %(id)s AND namespace = %(namespace)s AND state = ANY(%(before)s)"
            ).format(sql.Composed(columns)),
            given | {"after": after, "id": number, "namespace": settings.namespace, "before": list(before)},
        )
        replay = _one(database, settings, number)
        if not moved.rowcount:
            raise ReplayError(f"replay {number} is {replay.state}, not {' or '.join(before)}")
        return replay


def note_error(settings: Settings, number: int, error: str, *, final: bool) -> State:
    """Keeps why a step of a replay that has not ended stopped; one that is `final` ends the replay as long as nothing
    of it was handed to anybody: its tables are as they were. Returns the state after that.

    Raises:
        ReplayError: there is none of this number.
        ServiceDownError: PostgreSQL does not answer.
    """
    ended = list(BEFORE_THE_SWAP) if final else []
    with connected(settings) as database:
        database.execute(
            "UPDATE replay.replays SET error = %s, changed_at = clock_timestamp(), "
            "state = CASE WHEN state = ANY(%s) THEN %s ELSE state END "
            "WHERE id = %s AND namespace = %s AND state = ANY(%s)",
            [escaped(error)[:ERROR_LENGTH], ended, State.FAILED, number, settings.namespace, list(OPEN)],
        )
        return _one(database, settings, number).state


def cancel(settings: Settings, number: int) -> Replay:
    """Ends a replay before its change set was taken, or takes its undo back; the owner will not take it.

    Raises:
        ReplayError: it has ended, or its rows are being put in place just now.
        ServiceDownError: PostgreSQL does not answer.
    """
    with connected(settings) as database:
        replay = _one(database, settings, number)
        if replay.state not in OPEN:
            raise ReplayError(f"replay {number} is {replay.state}: there is nothing to cancel")
        if take_back(database, number) is None:
            raise ReplayError(
                f"replay {number} is {replay.state}: its rows are being put in place. `lakehouse replay "
                f"{'undo' if replay.state is State.UNDOING else 'run'} {number}` sees it through, if nobody does; then "
                f"`lakehouse replay undo {number}` takes it back"
            )
        return _one(database, settings, number)


def hand_over(settings: Settings, number: int, kind: Kind, content: dict[str, Any]) -> None:
    """Gives a change set to the owner of its tables, who takes it as long as somebody waits for it (`awaited`); one
    that is there already stays.

    Raises ReplayError: the replay was cancelled meanwhile, or its undo taken back.
    """
    with connected(settings) as database:
        replay = _one(database, settings, number, lock=True)
        if replay.state is not (State.SWAPPING if kind is Kind.SWAP else State.UNDOING):
            raise ReplayError(f"replay {number} is {replay.state}: its {kind} was cancelled")
        database.execute(
            """
            INSERT INTO replay.change_sets AS known (replay, kind, namespace, content) VALUES (%s, %s, %s, %s)
            ON CONFLICT (replay, kind) DO UPDATE
            SET content = excluded.content, state = 'waiting', attempts = 0, result = NULL, error = NULL,
                handed_at = clock_timestamp(), awaited_until = excluded.awaited_until
            WHERE known.state = 'withdrawn'
            """,
            [number, kind, settings.namespace, Jsonb(content)],
        )


def handed(settings: Settings, number: int, kind: Kind) -> Handed | None:
    """What has become of a change set. Raises ServiceDownError."""
    with connected(settings) as database:
        return _handed(database, "replay = %s AND kind = %s", [number, kind])


def awaited(settings: Settings, number: int, kind: Kind) -> Handed | None:
    """The same, for who waits for it: says that somebody does, for another `AWAITED_SECONDS`."""
    with connected(settings) as database:
        database.execute(
            "UPDATE replay.change_sets SET awaited_until = clock_timestamp() + make_interval(secs => %s) "
            "WHERE replay = %s AND kind = %s",
            [AWAITED_SECONDS, number, kind],
        )
        return _handed(database, "replay = %s AND kind = %s", [number, kind])


def take(settings: Settings) -> Handed | None:
    """The oldest change set that waits and that somebody waits for, counted as one attempt more; None without one. For
    the owner. One that it has begun it takes again in any case: half of it may be in place."""
    with connected(settings) as database:
        found = _handed(database, _TO_TAKE + " ORDER BY handed_at LIMIT 1 FOR UPDATE", [settings.namespace])
        if found is not None:
            database.execute(
                "UPDATE replay.change_sets SET attempts = attempts + 1 WHERE replay = %s AND kind = %s",
                [found.replay, found.kind],
            )
        return found


def waiting(settings: Settings) -> bool:
    """Whether there is a change set for its owner to take; cheap. Raises ServiceDownError."""
    with connected(settings) as database:
        return _handed(database, _TO_TAKE + " LIMIT 1", [settings.namespace]) is not None


def note(settings: Settings, number: int, kind: Kind, result: dict[str, Any]) -> None:
    """What the owner must know if it has to begin again."""
    with connected(settings) as database:
        database.execute(
            "UPDATE replay.change_sets SET result = %s WHERE replay = %s AND kind = %s", [Jsonb(result), number, kind]
        )


def settle(
    settings: Settings, number: int, kind: Kind, result: dict[str, Any] | None, error: str | None = None
) -> None:
    """The owner has applied a change set, or, with `error`, refuses it."""
    with connected(settings) as database:
        database.execute(
            "UPDATE replay.change_sets SET state = %s, result = %s, error = %s WHERE replay = %s AND kind = %s",
            ["refused" if error else "applied", Jsonb(result), error, number, kind],
        )


_REPLAYS: Final = sql.SQL(
    "SELECT id, state, plan, recomputed, diff, outcome, undone, error, requested_by, approved_by, requested_at, "
    "changed_at FROM replay.replays WHERE namespace = %s AND "
)
_CHANGE_SETS: Final = sql.SQL(
    "SELECT replay, kind, content, state, attempts, result, error FROM replay.change_sets WHERE "
)


def _all(
    database: psycopg.Connection[TupleRow], settings: Settings, states: tuple[State, ...] = tuple(State)
) -> list[Replay]:
    query = _REPLAYS + sql.SQL("state = ANY(%s) ORDER BY id DESC")
    return [_replay(row) for row in database.execute(query, [settings.namespace, list(states)]).fetchall()]


def _one(database: psycopg.Connection[TupleRow], settings: Settings, number: int, lock: bool = False) -> Replay:
    query = _REPLAYS + sql.SQL("id = %s FOR UPDATE" if lock else "id = %s")
    row = database.execute(query, [settings.namespace, number]).fetchone()
    if row is None:
        raise ReplayError(f"there is no replay {number}; `lakehouse replay list` shows those that are")
    return _replay(row)


def _replay(row: TupleRow) -> Replay:
    number, state, plan, *others = row
    return Replay(number, State(state), _PLAN.validate_python(plan, strict=False), *others)


def _handed(database: psycopg.Connection[TupleRow], where: LiteralString, values: Sequence[str | int]) -> Handed | None:
    with database.cursor(row_factory=class_row(Handed)) as cursor:
        return cursor.execute(_CHANGE_SETS + sql.SQL(where), values).fetchone()
