"""Real errors, as the handler of a micro-batch meets them, and what is made of each: printed as JSON.

``python -m tests.integration.poison_probe CLOSED_PORT``: on that port nobody listens.
"""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
from pyspark.sql import DataFrame

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.set_aside import ATTEMPTS, QUARANTINE, Poison, SetAside
from jobs.streaming.spark.stateful.user_totals import CHANGED, TABLE, merge
from lakehouse.delta import create_table
from lakehouse.delta.notes import Batch
from lakehouse.settings import load_settings


def main(closed_port: int) -> None:
    settings = load_settings()
    for name in (TABLE, QUARANTINE):
        create_table(settings, name)
    spark = build_session(settings, "poison probe")
    tables = DeltaTables(spark, settings)
    row = ("ana", 1, Decimal(500), 0, 0, Decimal(7), [])
    rows = spark.createDataFrame([row], CHANGED).localCheckpoint()
    down = settings.model_copy(update={"minio_port": closed_port})

    def merging(rows: DataFrame) -> None:
        merge(tables, rows, 1, Batch(job="probe", batch_id=1), None)

    def with_store_down() -> None:
        # As it does by itself, but not for minutes.
        hadoop: Any = spark._jsc.hadoopConfiguration()  # type: ignore[union-attr]
        for key, value in {"fs.s3a.endpoint": down.s3_endpoint, "fs.s3a.impl.disable.cache": "true"}.items():
            hadoop.set(key, value)
        for key in ("fs.s3a.attempts.maximum", "fs.s3a.retry.limit"):
            hadoop.set(key, "1")
        try:
            merging(rows)
        finally:
            hadoop.set("fs.s3a.endpoint", settings.s3_endpoint)

    def in_postgres(statement: str, port: int) -> Callable[[], object]:
        dsn = settings.model_copy(update={"postgres_port": port}).postgres_dsn
        return lambda: psycopg.connect(dsn, connect_timeout=5, autocommit=True).execute(statement)

    errors: dict[str, Callable[[], object]] = {
        "a count that overflows": lambda: merging(
            rows.selectExpr("* EXCEPT (purchases)", "purchases + 9223372036854775807 purchases")
        ),
        "two rows for one target row": lambda: (merging(rows), merge_again(tables, rows)),
        "null where none may be": lambda: merging(spark.createDataFrame([(None, *row[1:])], CHANGED)),
        "overflow in PostgreSQL": in_postgres("SELECT 2147483647 + 1", settings.postgres_port),
        "PostgreSQL down": in_postgres("SELECT 1", closed_port),
        "store down": with_store_down,
        "no such version": lambda: tables.read(TABLE, 999_999),
        "a bug": lambda: rows.select("no_such_column"),
    }
    found = {name: _poison(provoke) for name, provoke in errors.items()}

    attempts = 0

    def handle(_rows: DataFrame, _batch_id: int) -> None:
        nonlocal attempts
        attempts += 1
        with_store_down()

    raised = _poison(lambda: SetAside("probe", "probe-id", tables, handle)(rows, 1))
    print(
        json.dumps(
            {
                "poison": found,
                "outage": {"raised": raised, "attempts": attempts, "of": ATTEMPTS},
                "set_aside": spark.read.format("delta").load(tables.path(QUARANTINE)).count(),
            }
        )
    )


def merge_again(tables: DeltaTables, rows: DataFrame) -> None:
    merge(tables, rows.union(rows), 2, Batch(job="probe", batch_id=2), None)


def _poison(provoke: Callable[[], object]) -> list[str] | str | None:
    """SQLSTATE and condition of what it raises; None if that is no poison."""
    try:
        provoke()
    except Exception as error:
        poison = Poison.found(error)
        return [poison.sql_state, poison.condition] if poison else None
    return "nothing was raised"


if __name__ == "__main__":
    main(int(sys.argv[1]))
