"""The records behind a row, from bronze, each with what became of it."""

from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Final

import polars as pl

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.identity import record_hash
from lakehouse.explain.behind import Part
from lakehouse.explain.explanation import RECORDS, Status
from lakehouse.ledger.findings import OFFSET_BITS
from lakehouse.ledger.tables import POSITION
from lakehouse.semantics.lateness import LATE_UP_TO_MS, WATERMARK_DELAY_MS, Lateness

_POSITION: Final = ["partition", "offset"]
_RECORD: Final = [*_POSITION, "arrival"]
"""What tells a record from others of its topic, those of a predecessor of the same name among them."""


def records_of(part: Part, silver: pl.LazyFrame, bronze: pl.LazyFrame) -> pl.DataFrame:
    """The records that `part` means, as `RECORDS` without lateness; `silver` has one of each event.

    What silver has of them, the row was made of. The others were left out, or are not in silver yet. Of what a rule
    only looked at, silver's alone are told.
    """
    event = EVENTS[part.topic]
    identity = [event.key, "event_id", "event_time"]
    facts = [*_RECORD, *identity, "record_hash"]
    held = part.in_silver(silver).select(facts).collect()
    seen = part.in_bronze(bronze).select(*facts, "value").collect()
    if not part.counted:
        seen = seen.join(held, on=_RECORD, how="semi")
    others = seen.join(held, on=_RECORD, how="anti")
    # Also what silver has and bronze has not, without a value: somebody must be told.
    made_of = held.join(seen.select(*_RECORD, "value"), on=_RECORD, how="left").with_columns(
        status=pl.lit(Status.COUNTED if part.counted else Status.LOOKED_AT)
    )
    frames = [pl.DataFrame(schema={"instead": RECORDS["instead"]}), made_of]
    if others.height:
        frames.append(_left_out(others, _firsts(others, bronze, identity), identity, held if event.changelog else None))
    found = pl.concat(frames, how="diagonal_relaxed").with_columns(topic=pl.lit(part.topic), key=pl.col(event.key))
    hashes = [
        None if value is None else record_hash(part.topic, partition, offset, value)
        for partition, offset, value in found.select(*_POSITION, "value").iter_rows()
    ]
    return found.with_columns(value_hash=pl.Series(hashes, dtype=pl.Int64), lateness=None).select(
        pl.col(name).cast(kind) for name, kind in RECORDS.items()
    )


def _firsts(others: pl.DataFrame, bronze: pl.LazyFrame, identity: Sequence[str]) -> pl.DataFrame:
    """Of each identity the lowest position that bronze has; it may be of another row."""
    ids, times = others["event_id"].unique(), others["event_time"]
    alike = bronze.filter(
        pl.col("event_time").is_between(times.min(), times.max()), pl.col("event_id").is_in(ids.implode())
    )
    return alike.group_by(identity).agg(POSITION.min().alias("first")).collect()


def _left_out(
    others: pl.DataFrame, firsts: pl.DataFrame, identity: Sequence[str], winners: pl.DataFrame | None
) -> pl.DataFrame:
    """Why each of `others` isn't counted, and which record counts instead. `winners`: of a changelog, the one version
    of this key and time that holds."""
    winner = pl.lit(None if winners is None else winners.select(POSITION.max()).item(), pl.Int64)
    duplicate, superseded = pl.col("first") < POSITION, winner > POSITION
    instead = pl.when(duplicate).then("first").when(superseded).then(winner)
    place = pl.struct(partition=instead // (1 << OFFSET_BITS), offset=instead % (1 << OFFSET_BITS))
    status = pl.when(duplicate).then(pl.lit(Status.DUPLICATE)).when(superseded).then(pl.lit(Status.SUPERSEDED))
    left_out = others.join(firsts, on=identity, how="left").with_columns(
        status=status.otherwise(pl.lit(Status.WAITING)), instead=pl.when(instead.is_not_null()).then(place)
    )
    return left_out.drop("first")


def with_lateness(records: pl.DataFrame, bronze: pl.LazyFrame) -> pl.DataFrame:
    """Records of one topic, with how late each is (docs/semantics.md, Lateness).

    Only what is later than the earliest of them by more than the watermark's delay can make one late: most files of
    bronze hold nothing of the kind, and are not read.
    """
    if records.is_empty():
        return records
    late_after = records.select(pl.min("event_time") + timedelta(milliseconds=WATERMARK_DELAY_MS)).item()
    last = records.group_by("partition").agg(pl.max("offset"))
    before = [(pl.col("partition") == p) & (pl.col("offset") < end) for p, end in last.iter_rows()]
    earlier = (
        bronze.filter(pl.col("event_time") > late_after, reduce(or_, before))
        .select(*_POSITION, highest="event_time")
        .collect()
        .sort(_POSITION)
        .with_columns(pl.col("highest").cum_max().over("partition"))
    )
    behind = (pl.col("highest") - pl.col("event_time")).dt.total_milliseconds().fill_null(0) - WATERMARK_DELAY_MS
    lateness = (
        pl.when(behind <= 0)
        .then(pl.lit(Lateness.ON_TIME))
        .when(behind <= LATE_UP_TO_MS)
        .then(pl.lit(Lateness.LATE))
        .otherwise(pl.lit(Lateness.VERY_LATE))
    )
    ordered = records.sort(_POSITION)
    joined = ordered.join_asof(
        earlier, on="offset", by="partition", strategy="backward", allow_exact_matches=False, check_sortedness=False
    )
    return joined.with_columns(lateness=lateness).select(records.columns)
