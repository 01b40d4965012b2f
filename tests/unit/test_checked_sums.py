"""A sum of money is exact or null, in the engines of Python; Spark has the same SQL."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from lakehouse.checked_sums import checked_sum, written_out

HUGE = 9 * 10**18
MOST = 2**63 - 1
GROUPS: dict[str, list[int | None]] = {
    "two that wrap": [HUGE, HUGE],
    "three that wrap to something positive": [HUGE, HUGE, HUGE],
    "beside them": [5, 7],
    "the greatest that fits": [MOST - 1, 1],
    "one more": [MOST, 1],
    "no part": [None, 5],
    "the least that fits": [-MOST, -1],
    "fits only in the end": [HUGE, HUGE, -HUGE],
}
DUE = {
    "two that wrap": None,
    "three that wrap to something positive": None,
    "beside them": 12,
    "the greatest that fits": MOST,
    "one more": None,
    "no part": None,
    "the least that fits": -MOST - 1,
    "fits only in the end": HUGE,
}
ROWS = pl.DataFrame(
    [(group, cents) for group, parts in GROUPS.items() for cents in parts],
    schema={"group": pl.String, "cents": pl.Int64},
    orient="row",
)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_polars(engine):
    found = ROWS.lazy().group_by("group").agg(checked_sum("cents")).collect(engine=engine)
    assert dict(found.iter_rows()) == DUE


def test_datafusion(tmp_path: Path):
    write_deltalake(tmp_path, ROWS.to_arrow())
    query = 'SELECT "group", checked_sum(r.cents) AS cents FROM rows AS r GROUP BY "group"'
    found = QueryBuilder().register("rows", DeltaTable(tmp_path)).execute(written_out(query)).read_all()
    assert dict(pl.DataFrame(pa.table(found)).iter_rows()) == DUE
