"""What is kept of a replay that shows or meets something unusual; no table is there."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from deltalake.exceptions import TableNotFoundError
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from jobs.batch.replay import carry_out as carry_out_here
from lakehouse.replay import diff, report, store
from lakehouse.replay.plan import Plan
from lakehouse.replay.request import Request
from lakehouse.replay.store import State
from lakehouse.runtime.code_in_force import code_version
from lakehouse.runtime.wanted import connection
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

DAY = date(2026, 3, 2)
REGIONS = "gold.region_revenue_daily"


def replay_at(settings: Settings, state: State, **kept: object) -> int:
    """A replay of DAY that has come to `state`, whatever it has done until then; returns its number."""
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    request = Request.checked(start, start + timedelta(days=1), datetime.now(UTC))
    plan = Plan(request, datetime.now(UTC), code_version(), {}, {}, (DAY,), {}, (), 0, None)
    store.newest_first(settings)  # makes the tables
    with connection(settings) as database:
        row = database.execute(
            "INSERT INTO replay.replays (namespace, state, plan, requested_by) VALUES (%s, 'planned', %s, 'test') "
            "RETURNING id",
            [settings.namespace, Jsonb(TypeAdapter(Plan).dump_python(plan, mode="json"))],
        ).fetchone()
    assert row is not None
    store.advance(settings, row[0], (State.PLANNED,), state, **kept)
    return int(row[0])


@pytest.fixture
def elsewhere(stack: "Stack") -> Settings:
    """A tenant without tables."""
    return stack.ensure("minio", "postgres").model_copy(update={"namespace": f"d{uuid.uuid4().hex[:10]}"})


def test_a_diff_that_shows_what_postgresql_cannot_hold_is_kept(elsewhere: Settings) -> None:
    number = replay_at(elsewhere, State.RECOMPUTED)
    columns = {"event_date": DAY, "purchases": 1, "revenue_cents": 5, "events": 1, "fingerprint": Decimal(7)}
    rows = pl.DataFrame(
        [{"region": region} | columns for region in ("no\x00rth", "north")],
        schema_overrides={"fingerprint": pl.Decimal(38, 0)},
    )
    found = diff.compare(REGIONS, 3, [DAY], rows, rows[1:])
    kept = store.advance(
        elsewhere, number, (State.RECOMPUTED,), State.COMPARED, diff={"tables": [found.to_json()]}
    ).diff
    assert kept is not None
    assert kept["tables"][0]["examples"][0]["key"]["region"] == "no\\u0000rth"
    assert "no\\u0000rth" in report.write(elsewhere, store.get(elsewhere, number), [found]).read_text()


def test_an_error_that_comes_again_fails_the_replay_with_the_reason(elsewhere: Settings) -> None:
    number = replay_at(elsewhere, State.RECOMPUTED, recomputed={"staged": {}})
    with pytest.raises(KeyError):
        carry_out_here(elsewhere, "diff", number)
    failed = store.get(elsewhere, number)
    assert (failed.state, failed.error) == (State.FAILED, "diff: KeyError: 'silver.clicks'")


def test_an_error_of_a_text_that_postgresql_cannot_hold_is_kept(elsewhere: Settings) -> None:
    number = replay_at(elsewhere, State.SWAPPING)
    assert store.note_error(elsewhere, number, "region no\x00rth", final=True) is State.SWAPPING
    assert store.get(elsewhere, number).error == "region no\\u0000rth", "what was handed over may still be taken"


def test_a_replay_goes_on_after_an_error_that_may_pass(elsewhere: Settings) -> None:
    staged = {"path": elsewhere.table_path("staging.replay_0__silver__clicks", "s3a"), "version": 0}
    number = replay_at(elsewhere, State.RECOMPUTED, recomputed={"staged": {"silver.clicks": staged}})
    with pytest.raises(TableNotFoundError):
        carry_out_here(elsewhere, "diff", number)
    stopped = store.get(elsewhere, number)
    assert stopped.state is State.RECOMPUTED
    assert (stopped.error or "").startswith("diff: TableNotFoundError: ")
    assert store.advance(elsewhere, number, (State.RECOMPUTED,), State.COMPARED).error is None
