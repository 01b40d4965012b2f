"""Setting a poisonous micro-batch aside, so that the stream goes on with the next."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from py4j.java_gateway import is_instance_of
from pyspark import SparkContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.query import Handle
from lakehouse.delta.notes import Batch

QUARANTINE: Final = "quarantine.batches"
ATTEMPTS: Final = 3
_DATA_CONDITIONS: Final = frozenset(
    {
        "ARITHMETIC_OVERFLOW",
        "BINARY_ARITHMETIC_OVERFLOW",
        "CAST_INVALID_INPUT",
        "CAST_OVERFLOW",
        "CAST_OVERFLOW_IN_TABLE_INSERT",
        "DATETIME_OVERFLOW",
        "DELTA_CAST_OVERFLOW_IN_TABLE_WRITE",
        "DELTA_EXCEED_CHAR_VARCHAR_LIMIT",
        "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE",
        "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
        "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES",
        "DIVIDE_BY_ZERO",
        "DUPLICATED_MAP_KEY",
        "NULL_MAP_KEY",
        "NUMERIC_VALUE_OUT_OF_RANGE",
        "REMAINDER_BY_ZERO",
    }
)
"""Spark's and Delta's errors that are the rows' own. By name: the SQLSTATE of a missing version of a table is that of
an overflow (22003, Delta 4.4), that of a wrong option is a data exception's."""
_DATA_STATES: Final = ("21", "22", "23")
"""The same of databases, whose SQLSTATE classes mean what the standard says: cardinality violation, data exception,
integrity constraint violation."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Poison:
    """An error that is the rows' own: with the same rows it comes again. `condition` is the engine's name for it."""

    condition: str
    sql_state: str

    @classmethod
    def found(cls, error: BaseException) -> "Poison | None":
        """What makes `error` a poison, looked for among its causes; None if it may pass.

        The list of what is poison is short and closed: an overflow, a cast that can't be done, a broken constraint, two
        source rows for one target row. All else may be an outage of whatever kind (a store or a broker that is down, no
        memory, a conflict, a bug that a restart with other code mends), and an outage must never lead to setting a
        batch aside: then nothing would be processed any more, and all would seem well.
        """
        return next(_poisons(error), None)


def _poisons(error: BaseException | None) -> Iterator[Poison]:
    """Those among `error` and what caused it, in Python and beyond it in the JVM."""
    while error is not None:
        state = getattr(error, "sqlstate", None)  # `psycopg.Error` has it
        if isinstance(state, str) and state[:2] in _DATA_STATES:
            yield Poison(type(error).__name__, state)
        thrown: Any = getattr(error, "_origin", None) or getattr(error, "java_exception", None)
        while thrown is not None:
            if is_instance_of(SparkContext._gateway, thrown, "org.apache.spark.SparkThrowable"):
                told: Any = SparkContext._jvm.PythonErrorUtils  # type: ignore[union-attr]
                condition = told.getCondition(thrown) or ""
                if condition.partition(".")[0] in _DATA_CONDITIONS:
                    yield Poison(condition, told.getSqlState(thrown))
            thrown = thrown.getCause()
        error = error.__cause__


@dataclass(frozen=True, slots=True)
class SetAside:
    """Wraps the handler of a stream's micro-batches: one that fails `ATTEMPTS` times by a poison is written to
    `quarantine.batches`, rows and error, and counts as done.

    For handlers that may be repeated and leave nothing half done. Only what the handler does can be set aside. What the
    query itself computes, its state above all, is computed before and completely; an error there is raised, as state
    that lacks a batch could not be gone on from.
    """

    job: str
    app_id: str
    tables: DeltaTables
    handle: Handle

    def __call__(self, rows: DataFrame, batch_id: int) -> Poison | None:
        """Handles `rows` (computed: to be read again and again); what it was set aside for, if it was.

        Raises the handler's error if that is no poison, and what writing to the quarantine raises.
        """
        failures = 0
        while True:
            try:
                self.handle(rows, batch_id)
                return None
            except Exception as error:
                poison = Poison.found(error)
                if poison is None:
                    raise
                failures += 1
                log.warning("batch %d, attempt %d of %d: %s", batch_id, failures, ATTEMPTS, error)
                if failures == ATTEMPTS:
                    self._write(rows, batch_id, poison, error)
                    log.error("batch %d is set aside in %s: %s", batch_id, QUARANTINE, poison.condition)
                    return poison

    def _write(self, rows: DataFrame, batch_id: int, poison: Poison, error: Exception) -> None:
        aside = rows.select(
            sf.lit(self.job).alias("job"),
            sf.lit(self.app_id).alias("app_id"),
            sf.lit(batch_id).cast("bigint").alias("batch_id"),
            # Readers of JSON keep numbers as doubles: decimals, wide sums and fingerprints, are written as text.
            sf.to_json(sf.struct(*_exact(rows))).alias("row"),
            sf.lit(poison.condition).alias("condition"),
            sf.lit(poison.sql_state).alias("sql_state"),
            sf.lit(str(error)[:4000]).alias("error"),
            sf.lit(datetime.now(UTC)).alias("set_aside_at"),
        )
        # Once, also when the batch is repeated because Spark didn't get to note that it was done.
        note = Batch(job=self.job, batch_id=batch_id)
        self.tables.append(QUARANTINE, aside, note, Transaction(self.app_id, batch_id))


def _exact(rows: DataFrame) -> list[Column]:
    return [
        sf.col(name).cast("string").alias(name) if dtype.startswith("decimal") else sf.col(name)
        for name, dtype in rows.dtypes
    ]


def set_aside_rows(tables: DeltaTables, app_id: str, batch_id: int, schema: str) -> DataFrame:
    """The rows of a batch that was set aside, as its handler got them (`schema`, as DDL)."""
    aside = tables.read(QUARANTINE, tables.version(QUARANTINE))
    mine = aside.where((sf.col("app_id") == app_id) & (sf.col("batch_id") == batch_id))
    return mine.select(sf.from_json("row", schema, {"mode": "FAILFAST"}).alias("row")).select("row.*")
