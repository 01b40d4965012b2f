"""What somebody still reads is kept, however little history a table keeps; what nobody reads any more goes."""

import polars as pl
import pytest

from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.cuts import Cut, record_cut
from lakehouse.delta import Once, VersionMissingError, append, create_table, open_table
from lakehouse.delta.describe import commits
from lakehouse.delta.files import Source, gained_and_lost
from lakehouse.delta.maintenance import compact, trim_log
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Events
from lakehouse.settings import Settings
from lakehouse.upkeep import maintain
from tests.lake import expected, fill, keep_nothing, stored
from tests.strategies import click, positioned

pytestmark = pytest.mark.stack

EVENTS = Events.of(positioned([click("ana", "10:00")]))
CLICKS, READER = "silver.clicks", "gold.product_metrics_5m"


def grown(lake: Settings, name: str) -> pl.DataFrame:
    """A table of three commits that keeps no history; its rows."""
    for _ in range(3):
        fill(lake, EVENTS, name)
    keep_nothing(lake, name)
    open_table(lake, name).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    return stored(lake, name)


def name_in_a_cut(lake: Settings, name: str, version: int) -> None:
    record_cut(lake, Cut(1, {"shop.clicks": {0: 1}}, {f"{DERIVED[0]}{FOLLOWED}": 0, name: version}))


def test_what_the_newest_cut_names_is_kept_until_another_names_something_newer(lake: Settings) -> None:
    rows = grown(lake, CLICKS)
    of_cut = int(open_table(lake, CLICKS).version())
    name_in_a_cut(lake, CLICKS, of_cut)
    compact(lake, CLICKS)
    fill(lake, EVENTS, CLICKS)
    maintain(lake, CLICKS)
    assert stored(lake, CLICKS, version=of_cut).equals(rows)
    name_in_a_cut(lake, CLICKS, int(open_table(lake, CLICKS).version()))
    assert maintain(lake, CLICKS)["files_removed"] > 0
    assert stored(lake, CLICKS).height == rows.height + 1


def test_the_log_is_trimmed_up_to_the_oldest_version_that_is_needed(lake: Settings) -> None:
    rows = grown(lake, CLICKS)
    needed = int(open_table(lake, CLICKS).version())
    compact(lake, CLICKS)
    trim_log(lake, CLICKS, needed=[needed])
    assert stored(lake, CLICKS, version=needed).equals(rows)
    with pytest.raises(VersionMissingError):
        open_table(lake, CLICKS, needed - 1)
    trim_log(lake, CLICKS, needed=[int(open_table(lake, CLICKS).version())])
    with pytest.raises(VersionMissingError):
        open_table(lake, CLICKS, needed)
    assert stored(lake, CLICKS).equals(rows)


def test_a_table_of_before_is_told_that_its_writers_trim_no_log(lake: Settings) -> None:
    grown(lake, CLICKS)
    trims = "delta.enableExpiredLogCleanup"
    open_table(lake, CLICKS).alter.set_table_properties({trims: "true"})
    maintain(lake, CLICKS)
    assert open_table(lake, CLICKS).metadata().configuration[trims] == "false"
    version = open_table(lake, CLICKS).version()
    maintain(lake, CLICKS)
    assert {c.operation for c in commits(open_table(lake, CLICKS)) if c.version > version} <= {
        "VACUUM START",
        "VACUUM END",
    }


def test_what_a_table_has_read_last_of_another_is_kept_for_the_difference_to_come(lake: Settings) -> None:
    held = grown(lake, CLICKS)
    opened = open_table(lake, CLICKS)
    read = int(opened.version())
    rows = to_arrow(READER, expected(READER, EVENTS))
    create_table(lake, READER)
    append(lake, READER, rows, Once("test", positions={Source.of(CLICKS, opened).app_id: read}))
    compact(lake, CLICKS)
    fill(lake, EVENTS, CLICKS)
    maintain(lake, CLICKS)
    assert gained_and_lost(lake, CLICKS, read, open_table(lake, CLICKS)).gained
    assert stored(lake, CLICKS, version=read).equals(held)
