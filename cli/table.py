"""``lakehouse table``: which tables there are, what they hold, and their rows at any kept version."""

import getpass
import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import polars as pl
import pyarrow as pa
import typer
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError
from pyarrow.parquet import ParquetWriter
from rich.table import Table

from cli.output import console, print_rows, print_table, styled
from cli.times import parse_time
from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.graph import DERIVED, REFRESHED
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import TABLES, table
from lakehouse.delta import TableMissingError, open_table, table_exists
from lakehouse.delta.describe import commits, extent
from lakehouse.delta.maintenance import compact as compact_table
from lakehouse.delta.restore import restore as restore_table
from lakehouse.delta.schemas import missing_columns
from lakehouse.plain import plain_frame, write_json_lines
from lakehouse.runtime.owners import owners_stopped
from lakehouse.settings import load_settings
from lakehouse.upkeep import vacuum as vacuum_table

app = typer.Typer(help="The Delta tables: list, show, read, maintain.", no_args_is_help=True)

SHOWN_ROWS: Final = 20
"""How many rows `read` prints as a table unless told otherwise."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


Name = Annotated[
    str, typer.Argument(help="layer.table, as `lakehouse table list` names it.", autocompletion=lambda: list(TABLES))
]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Tables as `lakehouse table list` names them.", autocompletion=lambda: list(TABLES)),
]
Version = Annotated[int | None, typer.Option(min=0, help="As of this version.")]
Timestamp = Annotated[
    str | None,
    typer.Option(help="As of this time, ISO 8601; UTC unless it says otherwise. History is kept for 7 days."),
]


@app.command("list", epilog="Example: lakehouse table list")
def list_tables() -> None:
    """Every declared table: version, rows, size, last commit (UTC) and owner."""
    settings = load_settings()
    shown = Table(
        "table",
        "version",
        "rows",
        "size",
        "files",
        "last commit",
        "owner",
        box=None,
        pad_edge=False,
    )
    for column in shown.columns[1:5]:
        column.justify = "right"
    for contract in TABLES.values():
        try:
            opened = open_table(settings, contract.name)
        except TableMissingError:
            if contract.variant_of is None:
                shown.add_row(contract.name, "", "", "", "", styled(("not written", "dim")), contract.owner)
            continue
        size, (last,) = extent(opened), commits(opened, 1)
        shown.add_row(
            contract.name,
            str(size.version),
            "?" if size.rows is None else f"{size.rows:,}",
            _bytes(size.size_bytes),
            str(size.files),
            f"{last.at:%Y-%m-%d %H:%M:%SZ}",
            contract.owner,
        )
    print_table(shown)


@app.command(
    epilog="Examples: lakehouse table show gold.product_metrics_5m | lakehouse table show silver.clicks --commits 3"
)
def show(
    name: Name,
    version: Version = None,
    timestamp: Timestamp = None,
    newest: Annotated[int, typer.Option("--commits", min=0, help="How many of the last commits.")] = 10,
) -> None:
    """One table's columns, key, size and last commits, with what each commit says of itself."""
    contract = table(name)
    settings = load_settings()
    opened = open_table(settings, name, version, _time(version, timestamp))
    size = extent(opened)
    rows = "unknown" if size.rows is None else f"{size.rows:,}"
    held = f" version {size.version}: {rows} rows, {_bytes(size.size_bytes)}, {size.files} files"
    console.print(styled((name, "bold"), held))
    console.print(f"written by {contract.owner}" + (", insert only" if contract.insert_only else ""))
    console.print(f"key: {', '.join(contract.key)}; partitioned by: {', '.join(contract.partition_by) or 'nothing'}\n")
    columns = Table("column", "type", "null", box=None, pad_edge=False)
    for column in contract.columns:
        columns.add_row(column.name, column.type, "yes" if column.nullable else "")
    print_table(columns)
    if newest:
        history = Table("version", "committed (UTC)", "operation", "says", box=None, pad_edge=False)
        for commit in commits(open_table(settings, name), newest, until=size.version):
            said = ", ".join(f"{key}={value}" for key, value in commit.note.content.items()) if commit.note else ""
            history.add_row(str(commit.version), f"{commit.at:%Y-%m-%d %H:%M:%S}", commit.operation, said)
        console.print()
        print_table(history)


@app.command(
    epilog="Examples: lakehouse table read gold.user_totals --limit 5 | "
    "lakehouse table read silver.clicks --where \"event_date = '2024-03-01' AND action = 'click'\" "
    "--columns user_id,event_time --format csv --output clicks.csv | "
    "lakehouse table read silver.sessions --timestamp 2024-03-01T12:00:00Z --format json"
)
def read(
    name: Name,
    version: Version = None,
    timestamp: Timestamp = None,
    columns: Annotated[str | None, typer.Option(help="Only these columns, separated by commas.")] = None,
    where: Annotated[str | None, typer.Option(help="Only rows for which this SQL condition holds.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"At most so many rows; {SHOWN_ROWS} for --format table, else all.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="json is one object a line, hashes as text. Only parquet keeps bytes and types as they are.",
        ),
    ] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write to this file instead of the terminal.")
    ] = None,
) -> None:
    """Rows of a table, at its newest version or an earlier one, in no particular order."""
    if form is Format.PARQUET and output is None:
        raise typer.BadParameter("parquet is not for terminals; add --output FILE")
    if form is Format.TABLE and output is not None:
        raise typer.BadParameter("add --format json, csv or parquet to write a file")
    chosen = _chosen(name, columns) if columns is not None else list(table(name).column_names)
    opened = open_table(load_settings(), name, version, _time(version, timestamp))
    if form is Format.TABLE and limit is None:
        limit = SHOWN_ROWS
    batches = _query(opened, name, chosen, where, limit)
    if form is Format.PARQUET and output is not None:
        _to_parquet(batches, name, chosen, output)
    elif form is Format.TABLE:
        rows = pl.concat([pl.DataFrame(schema=dict.fromkeys(chosen, pl.String)), *(_texts(b) for b in batches)])
        print_rows(rows.columns, rows.rows())
        console.print(f"{rows.height} rows", style="dim")
    else:
        _to_text(batches, form, output)


@app.command(epilog="Examples: lakehouse table compact silver.clicks | lakehouse table compact")
def compact(names: Names = None) -> None:
    """Join the small files of tables (all by default), while their owners go on writing; rows stay as they are."""
    for name in _written(names):
        done = compact_table(load_settings(), name)
        if done.beaten:
            console.print(f"{name}: other writers replaced its files each time; nothing changed, try again later")
        elif done.version is None:
            console.print(f"{name}: nothing to join, {done.files_before} files")
        else:
            console.print(f"{name}: {done.files_before} files are now {done.files_after}, version {done.version}")


@app.command(epilog="Examples: lakehouse table vacuum --dry-run | lakehouse table vacuum silver.clicks")
def vacuum(
    names: Names = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the files.")] = False,
) -> None:
    """Remove files that no version of the last 7 days holds, and those that killed writers left before that.

    Earlier versions can't be read afterwards.
    """
    for name in _written(names):
        done = vacuum_table(load_settings(), name, dry_run=dry_run)
        console.print(f"{name}: {done.files} files {'to remove' if dry_run else 'removed'}")


@app.command(
    epilog="Examples: lakehouse table restore gold.user_totals --version 41 | "
    "lakehouse table restore gold.user_totals --timestamp 2024-03-01T12:00:00Z"
)
def restore(name: Name, version: Version = None, timestamp: Timestamp = None) -> None:
    """Put a table back to an earlier version, in a new commit. Its owner must be stopped.

    Tables that grow by insertion only are not put back to where rows are missing: nobody would write them again.
    """
    table(name)
    if version is None and timestamp is None:
        raise typer.BadParameter("give --version or --timestamp; `lakehouse table show` lists versions")
    settings = load_settings()
    with owners_stopped(settings, [name], JOBS.values()):
        done = restore_table(settings, name, version, _time(version, timestamp), getpass.getuser())
    console.print(f"{name}: version {done.version} has the content of version {done.target}")
    if name in REFRESHED and done.changed:
        first, last = done.days or ("DAY", "DAY")
        again = (
            f"to have all of it anew, now: "
            f"python -m jobs.batch.rebuild --from {first} --to {last} --tables {name} --publish"
            if name in DERIVED
            else "until then the rest stays as it was then"
        )
        console.print(f"Its owner recomputes it where new events touch it; {again}")


def _written(names: list[str] | None) -> Iterator[str]:
    """`names`, or all tables that were written."""
    settings = load_settings()
    for name in names or TABLES:
        if names or table_exists(settings, name):
            yield name


def _query(
    opened: DeltaTable, name: str, columns: list[str], where: str | None, limit: int | None
) -> Iterator[pa.RecordBatch]:
    """The rows batch by batch, by DataFusion: a table larger than memory can be exported."""
    quoted = ", ".join(f'"{column}"' for column in columns)
    gained = "".join(f', NULL AS "{column.name}"' for column in missing_columns(opened, table(name)))
    sql = f'SELECT {quoted} FROM (SELECT *{gained} FROM "{name}")'  # noqa: S608 the caller's own tables, read only
    sql += f" WHERE {where}" if where is not None else ""
    sql += f" LIMIT {limit}" if limit is not None else ""
    try:
        # The first batch shows whether the condition can be computed at all.
        batches = iter(QueryBuilder().register(f'"{name}"', opened).execute(sql))
        first = [pa.record_batch(batch) for batch in itertools.islice(batches, 1)]
        first = first or [pa.RecordBatch.from_pylist([], _schema(name, columns))]
    except DeltaError as error:
        if where is None:
            raise
        raise typer.BadParameter(f"--where {where!r}: {str(error).splitlines()[0]}") from None
    return itertools.chain(first, (pa.record_batch(batch) for batch in batches))


def _schema(name: str, columns: list[str]) -> pa.Schema:
    declared = arrow_schema(table(name))
    return pa.schema([declared.field(column) for column in columns])


def _to_parquet(batches: Iterable[pa.RecordBatch], name: str, columns: list[str], output: Path) -> None:
    schema = _schema(name, columns)
    with ParquetWriter(output, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))


def _to_text(batches: Iterable[pa.RecordBatch], form: Format, output: Path | None) -> None:
    with output.open("wb") if output is not None else nullcontext(sys.stdout.buffer) as target:
        for number, batch in enumerate(batches):
            frame = pl.DataFrame(batch)
            if form is Format.JSON:
                write_json_lines(frame, target)
            else:
                plain_frame(frame).write_csv(target, include_header=number == 0)


def _texts(batch: pa.RecordBatch) -> pl.DataFrame:
    return plain_frame(pl.DataFrame(batch)).cast(pl.String)


def _chosen(name: str, columns: str) -> list[str]:
    known = table(name).column_names
    chosen = [column.strip() for column in columns.split(",")]
    unknown = [column for column in chosen if column not in known]
    if unknown:
        raise typer.BadParameter(f"{name} has no column {', '.join(unknown)}; it has: {', '.join(known)}")
    return chosen


def _time(version: int | None, timestamp: str | None) -> datetime | None:
    if timestamp is None:
        return None
    if version is not None:
        raise typer.BadParameter("give --version or --timestamp, not both")
    return parse_time("--timestamp", timestamp)


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
