"""How long records took from Kafka to gold, by what bronze and the journal of cycles say."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, Final

import polars as pl

from jobs.follower.events import LATE
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.tables import INGESTED
from lakehouse.delta.files import read_each
from lakehouse.delta.log import file_changes
from lakehouse.settings import Settings

_SAID: Final = {True: "settled", False: "settled_but_late"}
"""What an entry says of clicks that are late, or not."""


def until_gold(settings: Settings, cycles: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A row per click that came to bronze while `cycles` (entries of the journal) ran: `arrival_ms`, when Kafka took
    it, and `seconds` from then to the end of the first cycle after which every table followed from bronze: of one that
    lies at most an hour behind its arrival, be it without what was late.

    Raises:
        TableMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
    """
    bronze, entries = f"bronze.{CLICKS.table}", list(cycles)
    reached = {late: _reached(entries, bronze, said) for late, said in _SAID.items()}
    first = min((entry["read"][bronze][0] for entry in entries), default=0)
    last = max(chain.from_iterable(each["version"] for each in reached.values()), default=0)
    stored = f"{bronze}{INGESTED}"
    found = [pl.DataFrame(schema={"version": pl.Int64, "arrival_ms": pl.Int64, "late": pl.Boolean})]
    for version, files in file_changes(settings, stored, range(first + 1, last + 1)).items():
        added = [file["path"] for file in files if "deletionTimestamp" not in file]
        for rows in read_each(settings, stored, added, ["arrival", "event_time"]).values():
            late = pl.col("event_time") < pl.col("arrival") - LATE
            arrived = rows.select(arrival_ms=pl.col("arrival").dt.epoch("ms"), late=late)
            found.append(arrived.select(pl.lit(version, pl.Int64).alias("version"), "arrival_ms", "late"))
    clicks = pl.concat(found).sort("version")
    return pl.concat(
        clicks.filter(pl.col("late") == late)
        .join_asof(settled, on="version", strategy="forward")
        .select("arrival_ms", seconds=(pl.col("gold_ms") - pl.col("arrival_ms")) / 1000)
        for late, settled in reached.items()
    )


def _reached(entries: Iterable[Mapping[str, Any]], bronze: str, said: str) -> pl.DataFrame:
    """By version of bronze, the end of the cycle that says so of it."""
    found = [
        (entry["read"][bronze][1], datetime.fromisoformat(entry["ended_at"]).timestamp() * 1000)
        for entry in entries
        if entry.get(said, entry["settled"])
    ]
    return pl.DataFrame(found, schema={"version": pl.Int64, "gold_ms": pl.Float64}, orient="row").sort("version")
