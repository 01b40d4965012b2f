"""`silver.transactions`: each transaction once, brought in by Polars from the records of a micro-batch.

As with all silver events, what is new by identity is inserted and the lowest (partition, offset) wins. A repeated batch
finds its transactions known and adds nothing. Insertions and corrections are commits of their own.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, open_table, replace_days, scan, scan_opened
from lakehouse.delta.notes import Caused
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings

TABLE: Final = "silver.transactions"
_BRONZE: Final = "bronze.transactions"
IDENTITY: Final = ("user_id", "event_id", "event_time")
_POSITION: Final = ("partition", "offset")


@dataclass(frozen=True, slots=True)
class SilverTransactions:
    """Brings transactions into silver, for its owner; `note` is what the commits say of themselves."""

    settings: Settings
    note: Caused

    def insert(self, records: pl.DataFrame) -> int | None:
        """Adds those of `records` (payload and position, valid ones) that silver lacks; returns the new version, None
        where it lacks none.

        Raises what `lakehouse.delta.append` raises.
        """
        incoming, opened = first_of_each(records), open_table(self.settings, TABLE)
        fresh = incoming.join(self._held(opened, incoming), IDENTITY, "anti")
        if fresh.is_empty():
            return None
        return append(self.settings, TABLE, to_arrow(TABLE, typed(TABLE, fresh)), self._once(opened), self.note)

    def displace(self, records: pl.DataFrame) -> int | None:
        """Gives transactions that silver holds from a higher (partition, offset) the incoming record instead; None
        where there are none.

        Happens only when a foreign producer spreads a key over partitions. Whoever pays and when is part of the
        identity, so that what the two records affect is the same. Raises what `lakehouse.delta.replace_days` raises.
        """
        incoming, opened = first_of_each(records), open_table(self.settings, TABLE)
        rivals = self._held(opened, incoming).join(incoming, IDENTITY, suffix="_new")
        position, new = pl.struct(*_POSITION), pl.struct(*(pl.col(f"{name}_new").alias(name) for name in _POSITION))
        lost = rivals.filter(_before(new, position))
        if lost.is_empty():
            return None
        days = lost["event_date"].unique().to_list()
        held = scan_opened(self.settings, TABLE, opened).filter(pl.col("event_date").is_in(days)).collect()
        won = incoming.join(lost, IDENTITY, "semi")
        content = pl.concat([held.join(lost, IDENTITY, "anti"), typed(TABLE, won)])
        note = self.note.correcting("lower_position", days)
        return replace_days(self.settings, TABLE, days, to_arrow(TABLE, content), self._once(opened), note)

    def settle(self, judged: pl.DataFrame) -> int:
        """Makes silver's rows of the transactions of `judged` (identity and date) those that bronze has of them now, if
        any: for records that were judged anew. A repetition writes the same rows.

        Raises what `lakehouse.delta.replace_days` raises.
        """
        days, opened = judged["event_date"].unique().to_list(), open_table(self.settings, TABLE)
        keys = judged.lazy().select(IDENTITY).unique()
        # No event arrives a day before its own time.
        since = pl.col("arrival_date") >= min(days) - timedelta(days=1)
        records = scan(self.settings, _BRONZE).filter(since).join(keys, IDENTITY, "semi").collect()
        held = scan_opened(self.settings, TABLE, opened).filter(pl.col("event_date").is_in(days))
        kept = held.join(keys, IDENTITY, "anti").collect()
        content = pl.concat([kept, typed(TABLE, first_of_each(records))])
        note = self.note.correcting("judged_anew", days)
        return replace_days(self.settings, TABLE, days, to_arrow(TABLE, content), self._once(opened), note)

    def _held(self, opened: DeltaTable, incoming: pl.DataFrame) -> pl.DataFrame:
        """Identity, date and position of silver's rows of the incoming transactions."""
        rows = scan_opened(self.settings, TABLE, opened)
        days = incoming["event_date"].unique().to_list()
        return (
            rows.filter(pl.col("event_date").is_in(days))
            .select(*IDENTITY, "event_date", *_POSITION)
            .join(incoming.lazy().select(IDENTITY), IDENTITY, "semi")
            .collect()
        )

    def _once(self, opened: DeltaTable) -> Once:
        return Once.after(opened, self.settings.prefixed("transactions"))


def first_of_each(records: pl.DataFrame) -> pl.DataFrame:
    """One record of each event, the one with the lowest (partition, offset), dated; in any order."""
    # Most records have no other of their event, as no other has their hash: only the rest is sorted, of millions.
    shared = records.select(IDENTITY).hash_rows().is_duplicated()
    first = records.filter(shared).sort(_POSITION).unique(IDENTITY, keep="first", maintain_order=True)
    return pl.concat([records.filter(~shared), first]).with_columns(event_date=pl.col("event_time").dt.date())


def _before(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Polars doesn't order structs."""
    partition, offset = _POSITION
    earlier = one.struct.field(partition) < other.struct.field(partition)
    same = one.struct.field(partition) == other.struct.field(partition)
    return earlier | (same & (one.struct.field(offset) < other.struct.field(offset)))


def typed(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` by the contract of the table `name`."""
    contract = table(name)
    return rows.select(contract.column_names).cast(polars_schema(contract))
