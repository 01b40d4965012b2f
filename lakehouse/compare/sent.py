"""The alerts that were sent: those that ``shop.alerts`` holds, and those that `silver.alerts_sent` keeps of what Kafka
has forgotten."""

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Final

import polars as pl

from lakehouse.alerts import Alert
from lakehouse.contracts.owners import ALERTS_SENT
from lakehouse.delta import TableMissingError, scan
from lakehouse.kafka.alerts import alerts_of
from lakehouse.kafka.consumer import Record, read_partitions, stable_ranges
from lakehouse.kafka.topics import ALERTS
from lakehouse.settings import Settings

SENT: Final = f"silver.{ALERTS_SENT}"


def records_sent(settings: Settings) -> Iterator[Record]:
    """The records of the topic, those of each partition in their order. Raises what `read_partitions` raises."""
    retained = stable_ranges(settings, [ALERTS])[ALERTS][0]
    yield from _forgotten(settings, {p: first for p, first in retained.items() if first})
    yield from read_partitions(settings, ALERTS, retained)


def _forgotten(settings: Settings, retained: dict[int, int]) -> Iterator[Record]:
    gone = [(pl.col("partition") == p) & (pl.col("offset") < first) for p, first in retained.items()]
    if not gone:
        return
    try:
        rows = scan(settings, SENT).filter(reduce(or_, gone))
    except TableMissingError:
        return
    columns = ["partition", "offset", pl.col("arrival").dt.epoch("ms"), "key", "value"]
    for row in rows.select(columns).sort("partition", "offset").collect().iter_rows():
        yield Record(ALERTS, *row)


def alerts_sent(settings: Settings) -> Iterator[Alert]:
    """The alerts among them, those of an incident in their order."""
    return alerts_of(records_sent(settings))
