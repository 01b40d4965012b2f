"""Putting misjudged records where today's rule puts them: into bronze, or among the dead letters.

A record lies in two tables of which each commits by itself. So it is put where it belongs before it is taken from where
it doesn't: killed between two commits it is in both, never in neither, and a repetition finds it misjudged in the one
and there already in the other. Others may append meanwhile: what they append are other records, and a commit that
meets theirs is computed anew.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.table import TableMerger

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import EVENTS, Kind
from lakehouse.contracts.tables import DEAD_LETTERS, table
from lakehouse.contracts.times import utc
from lakehouse.delta.notes import Asked
from lakehouse.delta.write import Once, commit_once, to_arrow
from lakehouse.rejudge.judged import Misjudged
from lakehouse.settings import Settings

JOB: Final = "rejudge"
_SAME: Final = " AND ".join(f't."{name}" = s."{name}"' for name in ("arrival_date", "topic", "partition", "offset"))


def move(settings: Settings, topic: str, records: Sequence[Misjudged], run_id: str) -> None:
    """Puts `records`, misjudged ones of one topic, where they belong; the commits name the run.

    Raises:
        CommitRefusedError, StoreFailingError, ServiceDownError: as `lakehouse.delta.append`; again, it does the rest.
    """
    bronze = f"bronze.{EVENTS[topic].table}"
    valid = [each for each in records if each.becomes_valid]
    invalid = [each for each in records if each.was_valid]
    if valid:
        rows = to_arrow(bronze, bronze_rows(topic, valid))
        _merge(settings, bronze, rows, run_id, lambda merger: merger.when_not_matched_insert(_all(bronze)))
    letters = to_arrow(DEAD_LETTERS, dead_letter_rows(records))
    letters = letters.append_column("valid", pa.array([each.becomes_valid for each in records]))
    _merge(
        settings,
        DEAD_LETTERS,
        letters,
        run_id,
        lambda merger: (
            merger.when_matched_delete("s.valid")
            .when_matched_update({'"reason"': 's."reason"', '"field"': 's."field"'}, "NOT s.valid")
            .when_not_matched_insert(_all(DEAD_LETTERS), "NOT s.valid")
        ),
    )
    if invalid:
        positions = ("topic", "partition", "offset", "arrival_date")
        rows = to_arrow(DEAD_LETTERS, dead_letter_rows(invalid)).select(positions)
        _merge(settings, bronze, rows, run_id, lambda merger: merger.when_matched_delete())


def _merge(
    settings: Settings, name: str, rows: pa.Table, run_id: str, clauses: Callable[[TableMerger], TableMerger]
) -> None:
    def attempt(opened: DeltaTable, properties: CommitProperties) -> None:
        merger = opened.merge(rows, _SAME, source_alias="s", target_alias="t", commit_properties=properties)
        clauses(merger).execute()

    commit_once(settings, name, Once.new(JOB), attempt, Asked(job=JOB, scope=f"judged anew in run {run_id}"))


def _all(name: str) -> dict[str, str]:
    return {f'"{column}"': f's."{column}"' for column in table(name).column_names}


def bronze_rows(topic: str, records: Sequence[Misjudged]) -> pl.DataFrame:
    """Rows of bronze."""
    contract = EVENTS[topic]
    times = {f.name for f in contract.fields if f.kind is Kind.TIME}
    rows = [
        {n: utc(cast(int, value)) if n in times else value for n, value in (each.fields or {}).items()} | _place(each)
        for each in records
    ]
    return pl.DataFrame(rows, schema=polars_schema(table(f"bronze.{contract.table}")), orient="row")


def dead_letter_rows(records: Sequence[Misjudged]) -> pl.DataFrame:
    """Rows of dead letters; of a valid record, whose row is to go, `reason` is empty."""
    rows = [
        _place(each) | {"key": each.key, "reason": each.now.reason or "", "field": each.now.field} for each in records
    ]
    return pl.DataFrame(rows, schema=polars_schema(table(DEAD_LETTERS)), orient="row")


def _place(each: Misjudged) -> dict[str, Any]:
    return {
        "topic": each.topic,
        "partition": each.partition,
        "offset": each.offset,
        "arrival": each.arrival,
        "value": each.value,
        "record_hash": each.record_hash,
        "arrival_date": each.arrival.date(),
    }
