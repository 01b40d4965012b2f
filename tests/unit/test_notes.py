"""What commits say of themselves is read back, as this release writes it and as earlier ones have."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from lakehouse.delta.notes import (
    Added,
    Asked,
    Batch,
    HandedOver,
    Note,
    Publication,
    Remark,
    Restored,
    Stateful,
    read_note,
)

DAY = date(2024, 3, 1)
ENDS = {"shop.clicks": {0: 7, 5: 3}}


@pytest.mark.parametrize(
    "note",
    [
        Batch(job="spark_lakehouse", batch_id=7, read_versions={"silver.clicks": 3}),
        Batch(job="spark_lakehouse", batch_id=7).correcting("lower_position", [DAY, date(2024, 2, 29)]),
        Asked(job="rebuild", scope="rebuild 2024-03-01 to 2024-03-02"),
        Stateful(job="user_totals__spark_state", app_id="a"),
        Stateful(job="user_totals__spark_state", app_id="a", batch_id=0, replayed=3),
        Publication(day=DAY, engine="polars", read_versions={"silver.clicks": 2}, read_tables={"silver.clicks": "id"}),
        Publication(
            day=DAY, as_of=datetime(2024, 3, 2, 1, tzinfo=UTC), read_rows=5, seconds=0.5, replay="1", scope="s"
        ),
        Restored(restored=0, by="ana", read_versions={"silver.purchases": 1}),
        HandedOver(cut=ENDS, versions={"lambda.batch_sessions": 4}, topics={"shop.clicks": "id"}),
        Added(batch_version=0, cut={}, ends=ENDS),
        Remark(note="by hand"),
    ],
)
def test_a_note_is_read_back_as_it_was_written(note: Note) -> None:
    assert read_note(note.text) == note


@pytest.mark.parametrize(
    ("said", "note"),
    [
        (
            {"job": "spark_lakehouse", "batch_id": 7, "silver_version": {"silver.clicks": 3}},
            Batch(job="spark_lakehouse", batch_id=7, read_versions={"silver.clicks": 3}),
        ),
        (
            {
                "job": "spark_lakehouse",
                "batch_id": 7,
                "silver_version": {"silver.products": 1},
                "correction": "late_product_version",
                "dates": ["2024-03-01"],
            },
            Batch(
                job="spark_lakehouse",
                batch_id=7,
                read_versions={"silver.products": 1},
                correction="late_product_version",
                dates=(DAY,),
            ),
        ),
        (
            {"job": "rebuild", "batch_id": 0, "silver_version": {}, "scope": "rebuild"},
            Asked(job="rebuild", scope="rebuild"),
        ),
        (
            {"restored": 1, "by": "ana", "silver_version": {"a": 1}},
            Restored(restored=1, by="ana", read_versions={"a": 1}),
        ),
        (
            {"job": "backfill_marts", "day": "2024-03-01", "engine": "polars", "read_versions": {"a": 1}, "scope": "s"},
            Publication(day=DAY, engine="polars", read_versions={"a": 1}, scope="s"),
        ),
        (
            {
                "job": "lambda_batch",
                "batch_id": 0,
                "silver_version": {"a": 1},
                "cut": {"shop.clicks": {"5": 3}},
                "versions": {},
            },
            HandedOver(read_versions={"a": 1}, cut={"shop.clicks": {5: 3}}, versions={}),
        ),
        (
            {"job": "lambda_speed", "batch_version": 2, "cut": {}, "ends": {"shop.clicks": {"5": 3}}},
            Added(batch_version=2, cut={}, ends={"shop.clicks": {5: 3}}),
        ),
        ({"job": "totals", "app_id": "a"}, Stateful(job="totals", app_id="a")),
        (
            {"job": "totals", "batch_id": 4, "silver_version": {}, "app_id": "a"},
            Stateful(job="totals", app_id="a", batch_id=4),
        ),
    ],
)
def test_what_earlier_releases_said_is_understood(said: dict[str, Any], note: Note) -> None:
    assert read_note(json.dumps(said)) == note


@pytest.mark.parametrize("text", ["by hand", "[1]", '{"kind": "of another release"}', '{"batch_id": "seven"}', "7"])
def test_what_nobody_of_ours_has_said_is_a_remark(text: str) -> None:
    assert read_note(text) == Remark(note=text)


@pytest.mark.parametrize("text", [None, ""])
def test_a_commit_may_say_nothing(text: str | None) -> None:
    assert read_note(text) is None
