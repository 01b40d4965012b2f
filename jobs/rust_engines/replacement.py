"""How a table that Polars refreshes is replaced: one commit per table, which says what it was computed from.

Its owner, the Spark driver, calls this: these tables are small, and a commit that costs Spark seconds of planning
costs delta-rs a tenth of one. The rules are those of every refresh: rows come from fixed versions and replace the old
ones; the days that the scope touches are rewritten whole, kept rows plus new ones; keys that vanish are in the scope
and not among the new rows.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

import polars as pl

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, open_table, replace_all, replace_days, scan_opened
from lakehouse.delta.describe import commits
from lakehouse.delta.notes import Caused
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings

Kept = Callable[[pl.DataFrame], pl.DataFrame]
"""Of a table's rows, those outside of the scope."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What all commits of one refresh share. `purpose` names their writer; `note`: what they say of themselves."""

    settings: Settings
    purpose: str
    note: Caused

    def swap(self, name: str, days: Collection[date], rows: pl.DataFrame, kept: Kept) -> tuple[int, pl.DataFrame]:
        """Puts `rows` in place of those that are not `kept`, on `days` (of an unpartitioned table: everywhere).

        Returns the version and the content of the days. Raises what `lakehouse.delta.replace_days` raises.
        """
        contract = table(name)
        opened = open_table(self.settings, name)
        current = scan_opened(self.settings, name, opened)
        once = Once.after(opened, self._app_id)
        if contract.partition_by:
            current = current.filter(pl.col("event_date").is_in(list(days)))
        new = rows.with_columns(changed_by=pl.lit(self.note.cause)).select(contract.column_names)
        content = pl.concat([kept(current.collect()), new.cast(polars_schema(contract))])
        replacement = to_arrow(name, content)
        if contract.partition_by:
            version = replace_days(self.settings, name, days, replacement, once, self.note)
        else:
            version = replace_all(self.settings, name, replacement, once, self.note)
        return version, content

    def acknowledge(self, name: str) -> int | None:
        """Records that `name` needs no change for these versions: a source having moved on and the table not, nobody
        could tell "nothing to do" from "not done". None where its newest commit says so already."""
        opened = open_table(self.settings, name)
        (newest,) = commits(opened, 1)
        if self.note.read_the_same(newest.note):
            return None
        empty = pl.DataFrame(schema=polars_schema(table(name)))
        return append(self.settings, name, to_arrow(name, empty), Once.after(opened, self._app_id), self.note)

    @property
    def _app_id(self) -> str:
        return self.settings.prefixed(self.purpose)
