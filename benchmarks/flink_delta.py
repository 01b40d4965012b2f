"""Kafka -> Delta by Flink at exactly-once, rows/s and rows per CPU second: `python -m benchmarks.flink_delta`.

Needs `lakehouse up kafka flink postgres`. Clicks are sent into a namespace of their own; then the job ingest_clicks
starts with new state and reads them from the log's beginning. Rows count when a commit holds them, so it includes the
last checkpoint; CPU seconds are those of the TaskManager's process from the job's start to that commit.
"""

import argparse
import json
import statistics
from datetime import date
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import psutil
import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.machine import describe
from jobs.catalog import JOBS
from lakehouse.contracts.tables import INGEST_CLICKS
from lakehouse.delta import open_table
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import Settings, load_settings

RESULT = Path(__file__).with_name("results") / "flink_delta.json"
TABLE = "bronze.clicks__flink"
PATIENCE_SECONDS = 600


def rows(table: DeltaTable) -> int:
    return sum(pa.table(table.get_add_actions())["num_records"].to_pylist())


def cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def measure(settings: Settings, clicks: int, seed: int) -> dict[str, Any]:
    """One run in a namespace of its own."""
    create_topics(settings)
    migrate(settings)
    sent = send_day(settings, ShopDay(date(2026, 3, 9), clicks, 0, seed), judged=False).sent["shop.clicks"]
    pid = Supervisor(settings).status("flink-taskmanager").pid
    assert pid is not None, "flink-taskmanager does not run: lakehouse up kafka flink postgres"
    task_manager = psutil.Process(pid)
    adapter, job = FlinkAdapter(settings), JOBS[INGEST_CLICKS]
    adapter.submit(job)
    began, cpu = monotonic(), cpu_seconds(task_manager)
    try:
        while (written := rows(open_table(settings, TABLE))) < sent:
            assert monotonic() - began < PATIENCE_SECONDS, f"{written} of {sent} rows"
            sleep(0.1)
        seconds, used = monotonic() - began, cpu_seconds(task_manager) - cpu
    finally:
        adapter.cancel(job)
    return {
        "rows": written,
        "seconds": round(seconds, 1),
        "rows_per_second": round(written / seconds),
        "taskmanager_cpu_seconds": round(used, 1),
        "rows_per_cpu_second": round(written / used),
        "commits": open_table(settings, TABLE).version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time()))
    arguments = parser.parse_args()
    settings, machine = load_settings(), describe()
    rounds = []
    for number in range(arguments.rounds):
        own = settings.model_copy(update={"namespace": f"bench{arguments.seed}_{number}"})
        rounds.append(measure(own, arguments.clicks, arguments.seed + number))
        print(rounds[-1])
    result = {
        "benchmark": "flink_delta",
        "machine": machine,
        "seed": arguments.seed,
        "parallelism": settings.parallelism,
        "checkpoint_seconds": settings.flink_checkpoint_seconds,
        **{f"median_{k}": statistics.median(r[k] for r in rounds) for k in ("rows_per_second", "rows_per_cpu_second")},
        "rounds": rounds,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
