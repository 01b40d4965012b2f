"""Spark's executors as what runs a follower's steps: they read the listed files, run the same SQL, and write the files
that the follower then commits.

No query of Spark's keeps a state and none commits: a step that fails or is killed leaves files that no log names.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import polars as pl
import pyarrow as pa
from deltalake.transaction import AddAction
from py4j.protocol import Py4JJavaError
from pydantic import SecretStr
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from jobs.follower.lake import FILE, Lake
from jobs.follower.parts import ExecutorsError, Near, Part, Replaced
from jobs.rust_engines.ranges import END, START, merged
from jobs.rust_engines.transactions import IDENTITY, typed
from jobs.spark_session import build_session, class_path
from jobs.spark_sql import ENRICHED, FIRST_OF_EACH, refreshed, run_sql
from lakehouse.contracts.owners import FOLLOWER
from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import table
from lakehouse.delta.files import write_files
from lakehouse.delta.layout import cut
from lakehouse.runtime.spark_cluster import configuration_directory, master
from lakehouse.settings import ROOT, Settings

log = logging.getLogger(FOLLOWER)

BATCH: Final = 2_000_000
"""Records that a cycle takes at most."""
TASK_ROWS: Final = 1_000_000
"""Rows that one task writes, about: it holds them in memory."""

RIVALS: Final = """
SELECT count_if(h.partition > f.partition OR (h.partition = f.partition AND h.offset > f.offset)) AS displaced
FROM {held} h
JOIN {first} f ON h.user_id = f.user_id AND h.event_id = f.event_id AND h.event_time = f.event_time
"""

_WRITTEN: Final = "path string, size bigint, modified bigint, statistics string"


def connected(lake: Lake) -> "OnSpark":
    """The executors of the cluster that the settings name, or of this process alone.

    Raises MissingJarsError: as `jobs.spark_session.build_session`.
    """
    settings = lake.settings
    if settings.spark_workers and not settings.spark_master:
        # Options of the command line, which all can see, are no place for the cluster's secret.
        os.environ["SPARK_CONF_DIR"] = str(configuration_directory(settings))
    options = {
        "spark.master": master(settings),
        "spark.executor.memory": settings.spark_executor_memory,
        "spark.executor.extraClassPath": class_path(settings),
        "spark.executor.extraJavaOptions": "-XX:+UseSerialGC -Duser.timezone=UTC",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        # Many listed files are looked up by tasks, one a file if Spark is let.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
    }
    session = build_session(settings, settings.prefixed(FOLLOWER), ui=True, overrides=options)
    log.info("runs steps of %d rows and more on %s", settings.spark_rows, options["spark.master"])
    return OnSpark(session, lake, settings.spark_rows)


@dataclass(frozen=True, slots=True)
class OnSpark:
    """The executors of a session of Spark; see `jobs.follower.parts.Executors`."""

    spark: SparkSession
    lake: Lake
    at_least: int
    batch: int = BATCH

    def replaced(self, name: str, sources: Mapping[str, Part], held: Part, cause: str) -> Replaced:
        with _told():
            return self._replaced(name, sources, held, cause)

    def inserted(self, name: str, records: Part, near: Near, versions: Part | None) -> list[AddAction] | None:
        with _told():
            return self._inserted(name, records, near, versions)

    def _replaced(self, name: str, sources: Mapping[str, Part], held: Part, cause: str) -> Replaced:
        compared, key = list(table(name).compared_columns), list(table(name).key)
        made = refreshed(self.spark, name, {source: self._read(part) for source, part in sources.items()})
        rows = self._inside(self._typed(name, made, compared), held).persist()
        standing = self._read(held, located=True).persist()
        try:
            fresh, stale = _without(rows, standing, compared), _without(standing, rows, compared)
            removed = [row[0] for row in stale.select(FILE).distinct().collect()]
            every = list(table(name).column_names)
            changed = fresh.withColumn("changed_by", sf.lit(cause)).select(*every)
            if removed:
                changed = _without(self._read(Part(name, removed, 0, every)), stale, key).unionByName(changed)
            read = held.rows + sum(part.rows for part in sources.values())
            return Replaced(self._write(name, changed, read), removed)
        finally:
            rows.unpersist()
            standing.unpersist()

    def _inserted(self, name: str, records: Part, near: Near, versions: Part | None) -> list[AddAction] | None:
        first = run_sql(self.spark, FIRST_OF_EACH, events=self._read(records)).drop("copy").persist()
        try:
            minute = sf.floor(sf.unix_millis("event_time") / 60_000)
            minutes = pl.DataFrame(first.select(minute.alias("minute")).distinct().toArrow())["minute"]
            held, fresh = near(minutes), first
            if held.paths:
                standing = self._read(held)
                if run_sql(self.spark, RIVALS, held=standing, first=first).collect()[0]["displaced"]:
                    return None
                fresh = first.join(standing.select(*IDENTITY), list(IDENTITY), "left_anti")
            if versions:
                fresh = run_sql(self.spark, ENRICHED, events=fresh, versions=self._read(versions))
            return self._write(name, fresh.withColumn("event_date", sf.to_date("event_time")), records.rows)
        finally:
            first.unpersist()

    def _read(self, part: Part, *, located: bool = False) -> DataFrame:
        """The rows of a part; `located`: with the file that holds each (`FILE`)."""
        stored = self.lake.stored(part.table)
        root, contract = self.lake.settings.table_path(stored, "s3a"), table(stored)
        if part.paths:
            reader = self.spark.read.schema(schema(contract)).option("basePath", root)
            rows = reader.parquet(*(f"{root}/{path}" for path in part.paths))
        else:
            rows = self.spark.createDataFrame([], schema(contract))
        columns: list[Column] = [sf.col(column) for column in part.columns]
        if located:
            file = sf.substring_index(sf.col("_metadata.file_path"), "/", -1) if part.paths else sf.lit("")
            columns.append(file.alias(FILE))
        for column, value in part.only.items():
            rows = rows.where(sf.col(column) == value)
        return self._inside(rows.select(*columns), part)

    def _inside(self, rows: DataFrame, part: Part) -> DataFrame:
        """Those of the part's ranges. Joined, not asked by EXISTS: of two such Spark makes a product of all times and
        all ranges."""
        if part.ranges is None:
            return rows
        time = sf.unix_millis(sf.col(part.time).cast("timestamp")) if part.time else sf.lit(0)
        by_columns: dict[tuple[str, ...], list[pl.DataFrame]] = {}
        for ranges in part.ranges:
            by_columns.setdefault(tuple(sorted(ranges.columns)), []).append(ranges.select(sorted(ranges.columns)))
        met, rest = [rows.where("false")], rows
        for alike in by_columns.values():
            whole = merged(pl.concat(alike), 2)  # those that touch are one
            held = self.spark.createDataFrame(whole.to_arrow(compat_level=pl.CompatLevel.oldest()))
            spans = sf.broadcast(held.toDF(*(f"_range_{column}" for column in held.columns)))
            on = time.between(sf.col(f"_range_{START}"), sf.col(f"_range_{END}"))
            for column in whole.columns:
                on = on if column in (START, END) else on & (sf.col(column) == sf.col(f"_range_{column}"))
            met.append(rest.join(spans, on, "left_semi"))
            rest = rest.join(spans, on, "left_anti")
        return reduce(DataFrame.union, met)

    def _typed(self, name: str, rows: DataFrame, columns: Iterable[str]) -> DataFrame:
        types = {field.name: field.dataType for field in schema(table(name)).fields}
        return rows.select(*(sf.col(column).cast(types[column]).alias(column) for column in columns))

    def _write(self, name: str, rows: DataFrame, about: int) -> list[AddAction]:
        """Files with these rows, cut for the table; `about` how many there are at most."""
        stored = self.lake.stored(name)
        self.lake.opened(name)  # files without a table are taken for somebody else's
        contract = table(stored)
        by = contract.cut_by or contract.key[0]
        tasks = max(self.spark.sparkContext.defaultParallelism, about // TASK_ROWS)
        ordered = self._typed(name, rows, contract.column_names).repartitionByRange(tasks, by)
        written = ordered.mapInArrow(_writer(self.lake.settings, stored, by), _WRITTEN).collect()
        return [AddAction(row.path, row.size, {}, row.modified, True, row.statistics) for row in written]


@contextmanager
def _told() -> Iterator[None]:
    """What Spark says of a step that failed, in a line: the table stands still, and others go on."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise ExecutorsError(f"Spark: {str(error).strip().splitlines()[0]}") from error


def _without(rows: DataFrame, others: DataFrame, columns: Iterable[str]) -> DataFrame:
    """Rows that no other equals in these columns, nulls being equal."""
    mine, theirs = rows.alias("mine"), others.alias("theirs")
    same = sf.lit(True)
    for column in columns:
        same = same & sf.col(f"mine.{column}").eqNullSafe(sf.col(f"theirs.{column}"))
    return mine.join(theirs, same, "left_anti")


def _writer(settings: Settings, stored: str, by: str) -> Any:
    """Writes a task's rows, and tells of the files. It is sent to the executors without credentials, which they have in
    their environment."""
    secrets: dict[str, Any] = {name: SecretStr("") for name, value in settings if isinstance(value, SecretStr)}
    sent = settings.model_copy(update={"minio_access_key": ""} | secrets)

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        key = {
            "minio_access_key": os.environ["AWS_ACCESS_KEY_ID"],
            "minio_secret_key": SecretStr(os.environ["AWS_SECRET_ACCESS_KEY"]),
        }
        rows = typed(stored, pl.DataFrame(pa.Table.from_batches(held)))
        added = write_files(sent.model_copy(update=key), stored, cut(rows, by))
        columns = [
            [each.path for each in added],
            [each.size for each in added],
            [each.modification_time for each in added],
            [each.stats for each in added],
        ]
        yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), ["path", "size", "modified", "statistics"])

    return write
