"""Whether bronze's rows are what their own raw bytes say: the hash of position and value, and the typed payload.

Sums of the stored hashes don't show this. A data file never changes, so a file is looked at once: those that the
table had at the version of an earlier clean look are skipped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import EventContract, Kind
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.tables import DEAD_LETTERS, ingested, table
from lakehouse.contracts.times import milliseconds
from lakehouse.contracts.validation import Invalid, Valid, validate, validate_value
from lakehouse.delta import TableMissingError, VersionMissingError, open_table, scan
from lakehouse.ledger.tables import POSITION
from lakehouse.settings import Settings

VALUES: Final = "values"
"""The layer of its rows in `ops.ledger`: written for clean looks only, so that what is wrong is found again."""
_BATCH: Final = 50_000
_WIRE: Final = {Kind.INTEGER: pl.Int64()}


@dataclass(slots=True)
class Contents:
    """What a look at a table's files found. `altered`: positions by topic."""

    records: int = 0
    hash_sum: int = 0
    altered: dict[str, list[int]] = field(default_factory=dict)


def look(settings: Settings, name: str, opened: DeltaTable, full: bool, progress: Callable[[int], None]) -> Contents:
    """Checks the rows of `name` (bronze or dead letters) in files that no earlier audit has found clean.

    `progress` gets the number of rows checked since its last call.
    """
    seen: set[str] = set() if full else _files_seen(settings, name)
    files = [uri for uri in opened.file_uris() if uri not in seen]
    found = Contents()
    for rows in _batches(settings, name, files):
        hashes = [
            record_hash(*each)
            for each in zip(*(rows[c].to_list() for c in ("topic", "partition", "offset", "value")), strict=True)
        ]
        found.records += rows.height
        found.hash_sum += sum(hashes)
        hashed = pl.Series("hashed", hashes, pl.Int64) == rows["record_hash"]
        wrong = [rows.filter(~hashed), *_unlike(name, rows.filter(hashed))]
        for topic, position in pl.concat([w.select("topic", POSITION) for w in wrong]).iter_rows():
            found.altered.setdefault(topic, []).append(position)
        progress(rows.height)
    return found


def _files_seen(settings: Settings, name: str) -> set[str]:
    try:
        seen = scan(settings, "ops.ledger").filter(layer=VALUES, table=name).select(pl.max("version")).collect().item()
        return set() if seen is None else set(open_table(settings, name, seen).file_uris())
    except (TableMissingError, VersionMissingError):
        return set()


def _batches(settings: Settings, name: str, files: list[str]) -> Iterator[pl.DataFrame]:
    if not files:
        return
    contract = table(name)
    schema = {n: t for n, t in polars_schema(contract).items() if n not in contract.partition_by}
    rows = pl.scan_parquet(
        files,
        schema=schema,
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
        storage_options=settings.delta_storage_options(),
        credential_provider=None,
    )
    yield from rows.collect_batches(chunk_size=_BATCH, maintain_order=False)


def _unlike(name: str, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rows whose other columns are not what the validator makes of the value."""
    if name == DEAD_LETTERS:
        verdicts = [_reason(row) for row in rows.iter_rows(named=True)]
        said = pl.DataFrame(verdicts, schema={"r": pl.String, "f": pl.String}, orient="row")
        yield rows.filter(said["r"].ne_missing(rows["reason"]) | said["f"].ne_missing(rows["field"]))
        return
    contract = ingested(name)
    doubtful = rows.filter(~_equal(contract, rows))
    yield doubtful.filter(
        pl.Series([not _same(contract, row) for row in doubtful.iter_rows(named=True)], dtype=pl.Boolean)
    )


def _equal(contract: EventContract, rows: pl.DataFrame) -> pl.Series:
    """For which rows a quick parser sees that payload and value agree. Where it doesn't, the validator is asked:
    this one knows one way to write a time."""
    shape = pl.Struct({f.name: _WIRE.get(f.kind, pl.String()) for f in contract.fields})
    try:
        read = rows.select(pl.col("value").cast(pl.String).str.json_decode(shape).struct.unnest())
    except pl.exceptions.ComputeError:
        return pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
    agree = [
        (_time(read[f.name]) if f.kind is Kind.TIME else read[f.name]).eq_missing(rows[f.name]) for f in contract.fields
    ]
    return pl.DataFrame(agree).select(pl.all_horizontal(pl.all())).to_series()


def _time(text: pl.Series) -> pl.Series:
    read = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
    return read.dt.truncate("1ms").dt.replace_time_zone("UTC")


def _same(contract: EventContract, row: dict[str, Any]) -> bool:
    verdict = validate_value(contract.topic, row["value"], milliseconds(row["arrival"]))
    return isinstance(verdict, Valid) and all(
        verdict.fields[f.name] == (milliseconds(row[f.name]) if f.kind is Kind.TIME else row[f.name])
        for f in contract.fields
    )


def _reason(row: dict[str, Any]) -> tuple[str | None, str | None]:
    verdict = validate(row["topic"], row["key"], row["value"], milliseconds(row["arrival"]))
    return (str(verdict.reason), verdict.field) if isinstance(verdict, Invalid) else (None, None)
