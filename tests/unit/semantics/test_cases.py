"""The literal cases in the metrics' rooms, by the reference and by their SQL on DataFusion."""

from typing import Final

import pytest

from jobs.rust_engines.sql import Frames
from lakehouse.contracts.tables import table
from lakehouse.semantics.log import assemble
from lakehouse.semantics.reference import METRICS
from tests.cases import Case, cases
from tests.lake import frame
from tests.refreshed import plain, refreshed

CASES: Final = list(cases())
_FRAMES: Final = Frames()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_reference_says_so(case: Case) -> None:
    rows = frame(case.table, METRICS[case.table].compute(assemble(case.given).events))
    assert case.seen(plain(case.table, rows.select(table(case.table).compared_columns))) == list(case.expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_sql_says_so(case: Case) -> None:
    assert case.seen(plain(case.table, refreshed(_FRAMES.run, case.table, list(case.given)))) == list(case.expected)
