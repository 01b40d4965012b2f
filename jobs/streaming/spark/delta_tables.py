"""Delta tables as the Spark jobs use them: pinned reads, appends, and replacement of whole days."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    MetadataChangedException,
)
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as sf

from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import table
from lakehouse.delta.installations import require_own
from lakehouse.delta.notes import Note, Said, read_note
from lakehouse.delta.tables import PROPERTIES
from lakehouse.settings import Settings

CONFLICTS: Final = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    MetadataChangedException,
)
"""What a commit raises when another's came in between; in Python these classes have no base of their own."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """Makes an append happen once: a commit of the same application and version is a no-op.

    The application's id must live and die with the state that counts the versions (a stream's checkpoint):
    under an old id, the first commits of a fresh start would be taken for repetitions and lost.
    """

    app_id: str
    version: int


class DeltaTables:
    """The tables of one installation; with `staging`, those of this prefix (it may be empty) beside the real ones.

    Whatever writes raises ForeignTablesError where they belong to another installation.
    """

    def __init__(self, spark: SparkSession, settings: Settings, staging: str | None = None) -> None:
        self.spark = spark
        self.settings = settings
        self._staging = staging

    def path(self, name: str) -> str:
        """Where the table lies; staging tables are ``staging/<prefix><layer>__<name>``."""
        staged = name if self._staging is None else f"staging.{self._staging}{name.replace('.', '__')}"
        return self.settings.table_path(staged, "s3a")

    def create(self, name: str) -> None:
        """Creates the table by its contract unless it exists: reader 1, writer 2, no table features. One that was made
        by an older contract is let have the nulls that this one allows."""
        require_own(self.settings)
        contract = table(name)
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(name)).addColumns(schema(contract))
        for key, value in PROPERTIES.items():
            builder = builder.property(key, value)
        if contract.partition_by:
            builder = builder.partitionedBy(*contract.partition_by)
        builder.execute()
        strict = {field.name() for field in self._newest(name).schema().fields() if not field.nullable()}
        for column in contract.columns:
            if column.nullable and column.name in strict:
                self.spark.sql(f"ALTER TABLE delta.`{self.path(name)}` ALTER COLUMN {column.name} DROP NOT NULL")

    def version(self, name: str) -> int:
        """The newest version, looked up in the store."""
        return int(self._newest(name).version())

    def _newest(self, name: str) -> Any:
        log = self.spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(  # type: ignore[union-attr]
            self.spark._jsparkSession, self.path(name)
        )
        defaults = [getattr(log, f"update$default${n}")() for n in (1, 2, 3)]
        return log.update(*defaults)

    def read(
        self, name: str, version: int, dates: Collection[date] | None = None, path: str | None = None
    ) -> DataFrame:
        """The table at `version`; `dates` restricts it to these partitions, as literals, so that others are
        pruned before anything is read. `path`: of another table by the same contract.

        It has the contract's columns: one that the contract has gained since that version is null, one of a newer
        contract is left out.
        """
        stored = self.spark.read.format("delta").option("versionAsOf", version).load(path or self.path(name))
        known = set(stored.columns)
        frame = stored.select(
            *(
                sf.col(column.name) if column.name in known else sf.lit(None).cast(column.dataType).alias(column.name)
                for column in schema(table(name)).fields
            )
        )
        partitions = table(name).partition_by
        if dates is None or not partitions:
            return frame
        return frame.where(in_dates(partitions[0], dates))

    def append(self, name: str, rows: DataFrame, note: Said, once: Transaction | None = None) -> int:
        """Adds `rows` in one commit of add actions only; returns the version after it."""
        writer = self._writer(name, rows, note).mode("append")
        if once is not None:
            writer = writer.option("txnAppId", once.app_id).option("txnVersion", once.version)
        writer.save(self.path(name))
        return self.version(name)

    def replace(self, name: str, rows: DataFrame, dates: Collection[date], note: Said) -> int:
        """Makes `rows` the whole content of the partitions `dates` (of an unpartitioned table: all of it).

        `rows` must not hold other dates. One commit: readers see all of it or nothing.
        """
        writer = self._writer(name, rows, note).mode("overwrite")
        partitions = table(name).partition_by
        if partitions:
            writer = writer.option("replaceWhere", in_dates(partitions[0], dates))
        writer.save(self.path(name))
        return self.version(name)

    def overwrite(self, name: str, rows: DataFrame, note: Said) -> int:
        """Makes `rows` the whole content of the table, which gets the columns that it lacks."""
        writer = self._writer(name, rows, note).mode("overwrite").option("mergeSchema", "true")
        writer.save(self.path(name))
        return self.version(name)

    @contextmanager
    def committing(self, note: Said, once: Transaction | None = None) -> Iterator[None]:
        """What a statement within the block that takes no options, such as MERGE, says of itself, and how it is made to
        happen once. By settings of the session, so for one thread: that of a micro-batch, which has its own session."""
        require_own(self.settings)
        settings = {"spark.databricks.delta.commitInfo.userMetadata": note.text}
        if once is not None:
            settings["spark.databricks.delta.write.txnAppId"] = once.app_id
            settings["spark.databricks.delta.write.txnVersion"] = str(once.version)
        for name, value in settings.items():
            self.spark.conf.set(name, value)
        try:
            yield
        finally:
            for name in settings:
                self.spark.conf.unset(name)

    def last_note(self, name: str) -> Note | None:
        """What the newest commit says of itself; None for one that says nothing."""
        newest = DeltaTable.forPath(self.spark, self.path(name)).history(1).select("userMetadata").head()
        return read_note(newest[0] if newest else None)

    def _writer(self, name: str, rows: DataFrame, note: Said) -> DataFrameWriter:
        require_own(self.settings)
        columns = table(name).column_names
        return rows.select(*columns).write.format("delta").option("userMetadata", note.text)


def in_dates(column: str, dates: Iterable[date]) -> str:
    """An SQL condition with literal dates; without any it holds for no row."""
    listed = ", ".join(f"DATE'{day}'" for day in sorted(dates))
    return f"{column} IN ({listed})" if listed else "false"
