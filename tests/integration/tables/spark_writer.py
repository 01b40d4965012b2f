"""Spark, as a process of its own: appends rows to ``ops.quality_results``, one commit each.

``python -m tests.integration.tables.spark_writer NAMESPACE NAME COMMITS`` says ``ready``, waits for a line, and then
says the ``run_id`` of each row that it was told is committed.
"""

import sys
from datetime import UTC, datetime

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import Commit, DeltaTables
from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import table
from lakehouse.settings import load_settings

NAME = "ops.quality_results"


def row(run: str) -> dict[str, object]:
    """A row of `NAME` that is known by its `run_id`."""
    numbers = {"version": 1, "rows_checked": 1, "expectations": 1, "failed": 0}
    return {"run_id": run, "checked_at": datetime(2024, 3, 4, tzinfo=UTC), "table": "t", "success": True} | numbers


def main(namespace: str, name: str, commits: int) -> None:
    settings = load_settings().model_copy(update={"namespace": namespace})
    spark = build_session(settings, "writer")
    tables = DeltaTables(spark, settings)
    tables.create(NAME)
    columns = schema(table(NAME))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(commits):
        run = f"{name}-{number}"
        values = row(run)
        rows = spark.createDataFrame([tuple(values[column] for column in columns.names)], columns)
        tables.append(NAME, rows, Commit("race", number))
        print(run, flush=True)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
