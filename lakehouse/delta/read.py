"""Reading a Delta table with Polars, lazily."""

import json
import os
from datetime import date, datetime
from typing import Final

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta.schemas import missing_columns
from lakehouse.delta.tables import open_table
from lakehouse.settings import Settings

_NO_LIMITER: Final = "POLARS_DISABLE_HTTP_RATE_LIMIT"
# Polars' limiter of requests, once something was read from S3, wakes two threads a thousand times a second for as long
# as the process lives: 2.5 % of a core in each driver, server and task. The store here is nobody else's.
pl.Config.load(json.dumps({"environment": {_NO_LIMITER: os.environ.get(_NO_LIMITER, "1")}}))


def scan(
    settings: Settings,
    name: str,
    *,
    version: int | None = None,
    timestamp: datetime | None = None,
    dates: tuple[date, date] | None = None,
) -> pl.LazyFrame:
    """The table `name` as a lazy frame in the contract's column order; nothing is read before `collect`.

    `dates`: first and last day, inclusive; files of other days are not read.
    Raises SchemaMismatchError, and what `open_table` raises.
    """
    return scan_opened(settings, name, open_table(settings, name, version, timestamp), dates)


def scan_opened(
    settings: Settings, name: str, opened: DeltaTable, dates: tuple[date, date] | None = None
) -> pl.LazyFrame:
    """As `scan`, of a table that is open at its version already.

    A column that the contract has gained since that version is null.
    """
    contract = table(name)
    types = polars_schema(contract)
    gained = [pl.lit(None, types[column.name]).alias(column.name) for column in missing_columns(opened, contract)]
    frame = pl.scan_delta(opened, storage_options=settings.delta_storage_options(), credential_provider=None)
    if dates is not None:
        if contract.day is None:
            raise ValueError(f"{name} has no days")
        frame = frame.filter(pl.col(contract.day).is_between(*dates))
    return frame.with_columns(gained).select(contract.column_names)
