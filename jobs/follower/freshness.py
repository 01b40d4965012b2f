"""How long records took from Kafka to gold, by what bronze and the journal of cycles say."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.tables import INGESTED
from lakehouse.delta.files import read_each
from lakehouse.delta.log import file_changes
from lakehouse.settings import Settings


def until_gold(settings: Settings, cycles: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A row per click that came to bronze while `cycles` (entries of the journal) ran: `arrival_ms`, when Kafka took
    it, and `seconds` from then to the end of the first cycle after which every table followed from bronze.

    Raises:
        TableMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
    """
    bronze, entries = f"bronze.{CLICKS.table}", list(cycles)
    reached = [
        (entry["read"][bronze][1], datetime.fromisoformat(entry["ended_at"]).timestamp() * 1000)
        for entry in entries
        if entry["settled"]
    ]
    settled = pl.DataFrame(reached, schema={"version": pl.Int64, "gold_ms": pl.Float64}, orient="row")
    first = min((entry["read"][bronze][0] for entry in entries), default=0)
    last = max((version for version, _ in reached), default=0)
    stored = f"{bronze}{INGESTED}"
    found = [pl.DataFrame(schema={"version": pl.Int64, "arrival_ms": pl.Int64})]
    for version, files in file_changes(settings, stored, range(first + 1, last + 1)).items():
        added = [file["path"] for file in files if "deletionTimestamp" not in file]
        for rows in read_each(settings, stored, added, ["arrival"]).values():
            arrived = rows.select(arrival_ms=pl.col("arrival").dt.epoch("ms"))
            found.append(arrived.select(pl.lit(version, pl.Int64).alias("version"), "arrival_ms"))
    return (
        pl.concat(found)
        .sort("version")
        .join_asof(settled.sort("version"), on="version", strategy="forward")
        .select("arrival_ms", seconds=(pl.col("gold_ms") - pl.col("arrival_ms")) / 1000)
    )
