"""How long records took from Kafka to gold, by what bronze and the driver's journal say."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from lakehouse.contracts.events import CLICKS
from lakehouse.delta import scan
from lakehouse.settings import Settings


def until_gold(settings: Settings, batches: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A row per click of `batches` (the journal's "end" entries): `arrival_ms`, when Kafka took it, and `seconds` from
    then to the end of its micro-batch, when every table is refreshed.

    Raises:
        TableMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
    """
    spans = pl.DataFrame(
        [
            (int(partition), span["from"], span["to"], datetime.fromisoformat(batch["ended_at"]).timestamp() * 1000)
            for batch in batches
            for partition, span in batch["offsets"].get(CLICKS.topic, {}).items()
        ],
        schema={"partition": pl.Int32, "offset": pl.Int64, "to": pl.Int64, "gold_ms": pl.Float64},
        orient="row",
    ).sort("offset")
    clicks = scan(settings, f"bronze.{CLICKS.table}").select(
        "partition", "offset", arrival_ms=pl.col("arrival").dt.epoch("ms")
    )
    return (
        clicks.collect()
        .sort("offset")
        .join_asof(spans, on="offset", by="partition", check_sortedness=False)
        .filter(pl.col("offset") < pl.col("to"))
        .select("arrival_ms", seconds=(pl.col("gold_ms") - pl.col("arrival_ms")) / 1000)
    )
