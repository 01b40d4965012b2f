"""What the conditional put costs per commit: `python -m benchmarks.conditional_put`. Needs `lakehouse up minio`.

Both log stores write commit files of the size of a micro-batch's, one after the other by turns, in one Spark:
ours, safe for several writers, and Delta's own, which is not. Beside it stands what a whole small append costs,
of which the commit file is a part.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from infra.local.machine import describe
from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Batch
from lakehouse.settings import load_settings

RESULT = Path(__file__).with_name("results") / "conditional_put.json"
CONTENT_BYTES: Final = 4_000
WARM_UP: Final = 20
APPENDED: Final = "ops.quality_results"


def milliseconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1000


def summary(taken: list[float]) -> dict[str, float]:
    return {"p50_ms": round(statistics.median(taken), 2), "p99_ms": round(statistics.quantiles(taken, n=100)[98], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=400)
    arguments = parser.parse_args()
    machine = describe()
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    spark = build_session(settings, "bench")
    jvm: Any = spark._jvm
    session: Any = spark._jsparkSession
    configuration = session.sessionState().newHadoopConf()
    stores = {
        "conditional_put": jvm.io.kappalakehouse.delta.ConditionalPutLogStore(configuration),
        "default": jvm.io.delta.storage.S3SingleDriverLogStore(configuration),
    }
    taken: dict[str, list[float]] = {name: [] for name in stores}
    for version in range(WARM_UP + arguments.commits):
        for name, store in stores.items():
            log = f"s3a://{settings.bucket}/{settings.namespace}/{name}/_delta_log"
            path = jvm.org.apache.hadoop.fs.Path(f"{log}/{version:020}.json")
            lines = jvm.java.util.List.of("x" * CONTENT_BYTES).iterator()
            seconds = milliseconds(lambda s=store, p=path, c=lines: s.write(p, c, False, configuration))
            if version >= WARM_UP:
                taken[name].append(seconds)
    whole = appends(DeltaTables(spark, settings), arguments.commits // 10)
    spark.stop()
    ours, delta_s = summary(taken["conditional_put"]), summary(taken["default"])
    result = {
        "benchmark": "conditional_put",
        "machine": machine,
        "commits": arguments.commits,
        "content_bytes": CONTENT_BYTES,
        "commit_file": {"conditional_put": ours, "default": delta_s},
        "ratio_p50": round(ours["p50_ms"] / delta_s["p50_ms"], 2),
        "whole_append": summary(whole),
        "commit_file_share_of_append": round(ours["p50_ms"] / statistics.median(whole), 3),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def appends(tables: DeltaTables, count: int) -> list[float]:
    """What appends of one row each take, from Spark's plan to the acknowledged commit."""
    tables.create(APPENDED)
    columns = schema(table(APPENDED))
    now = datetime.now(UTC)
    values = {"run_id": "r", "checked_at": now, "table": "t", "version": 1, "success": True}
    row = tuple(values.get(column, 1) for column in columns.names)
    rows, note = tables.spark.createDataFrame([row], columns).coalesce(1), Batch(job="bench", batch_id=0)
    return [milliseconds(lambda: tables.append(APPENDED, rows, note)) for _ in range(WARM_UP // 4 + count)][
        WARM_UP // 4 :
    ]


if __name__ == "__main__":
    main()
