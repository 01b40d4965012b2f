"""Kafka -> Delta at exactly-once by Flink and by Spark: `python -m benchmarks.delta_ingest`.

Needs `lakehouse up kafka flink postgres`. Both do the same work: the clicks of one topic, validated, into a bronze
table (jobs `ingest` and `clicks__migrated`), one engine after the other.

*Throughput*: `--clicks` wait in Kafka when the job starts, for both the same. Rows count from the engine's first commit
to its last, so that start-up does not; CPU seconds are those of the TaskManager, or of the Spark driver, meanwhile.
Flink commits every CATCH_UP_SECONDS, Spark every LAKEHOUSE_SPARK_MAX_OFFSETS_PER_TRIGGER records, and the rest after
CATCH_UP_SECONDS.

*Freshness*: events flow at `--rate`. What a record took from Kafka's arrival time to the commit that holds it, for each
interval: between Flink's checkpoints, and the longest between Spark's micro-batches.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import psutil
import pyarrow as pa

from infra.local.machine import describe
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import CLICKS_MIGRATED, INGEST
from lakehouse.delta import create_table, open_table
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.migration_cut import take_cut
from lakehouse.produce import send_day
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import ROOT, Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "delta_ingest.json"
TABLES: Final = {"flink": "bronze.clicks__flink", "spark": f"bronze.{CLICKS_MIGRATED}"}
INTERVALS: Final = (1, 3, 10)
CATCH_UP_SECONDS: Final = 2
"""Between commits while all that waits is read: at the 10 s of an installation one of Flink's takes a million rows."""
WARM_UP_SECONDS: Final = 15
"""Records of these are not counted: code is being compiled."""
PATIENCE_SECONDS: Final = 600


@contextmanager
def flink(settings: Settings) -> Iterator[psutil.Process]:
    """The job on the cluster; yields the TaskManager."""
    pid = Supervisor(settings).status("flink-taskmanager").pid
    assert pid is not None, "flink-taskmanager does not run: lakehouse up kafka flink postgres"
    adapter, job = FlinkAdapter(settings), JOBS[INGEST]
    os.environ["LAKEHOUSE_FLINK_CHECKPOINT_SECONDS"] = str(settings.flink_checkpoint_seconds)
    adapter.submit(job)
    try:
        yield psutil.Process(pid)
    finally:
        adapter.cancel(job)
        del os.environ["LAKEHOUSE_FLINK_CHECKPOINT_SECONDS"]


@contextmanager
def spark(settings: Settings) -> Iterator[psutil.Process]:
    """The driver as a process; yields it."""
    environment = os.environ | {
        "LAKEHOUSE_NAMESPACE": settings.namespace,
        "LAKEHOUSE_SPARK_TRIGGER_SECONDS": str(settings.spark_trigger_seconds),
    }
    log = settings.home / "logs" / f"{settings.namespace}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", JOBS[CLICKS_MIGRATED].entry_point],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


ENGINES: Final = {"flink": flink, "spark": spark}


def cpu_seconds(process: psutil.Process) -> float:
    """Of it and all that it has started and that lives."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(used.user + used.system for used in times))


def rows(settings: Settings, table: str) -> int:
    return int(sum(pa.table(open_table(settings, table).get_add_actions())["num_records"].to_pylist()))


def prepared(settings: Settings, name: str, **changed: int) -> Settings:
    """A namespace with topics and the engines' tables, all empty."""
    own = settings.model_copy(update={"namespace": name} | changed)
    create_topics(own)
    migrate(own)
    for table in TABLES.values():
        create_table(own, table)
    take_cut(own, TABLES["spark"], CLICKS.topic)
    return own


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS} s"
        time.sleep(0.1)


def throughput(settings: Settings, engine: str, sent: int) -> dict[str, Any]:
    table = TABLES[engine]
    with ENGINES[engine](settings) as process:
        until(lambda: rows(settings, table) > 0, "the first commit")
        before, began, cpu = rows(settings, table), time.monotonic(), cpu_seconds(process)
        until(lambda: rows(settings, table) == sent, f"{sent} rows")
        seconds, used = time.monotonic() - began, cpu_seconds(process) - cpu
    written = sent - before
    assert written > 0, "all came with the first commit: ask for more --clicks"
    return {
        "rows": written,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1),
        "rows_per_second": round(written / seconds),
        "rows_per_cpu_second": round(written / used),
        "commits": open_table(settings, table).version(),
    }


def freshness(settings: Settings, engine: str, rate: int, seconds: int, seed: int) -> dict[str, Any]:
    table = TABLES[engine]
    day = ShopDay(date(2026, 3, 9), rate * (WARM_UP_SECONDS + seconds), 0, seed)
    with ENGINES[engine](settings) as process:
        send_day(settings, ShopDay(date(2026, 3, 8), 100, 0, seed), judged=False)
        until(lambda: rows(settings, table) >= 100, "the first commit")
        first, began_ms, cpu = rows(settings, table), time.time() * 1000, cpu_seconds(process)
        sending = threading.Thread(target=lambda: send_day(settings, day, judged=False, rate=rate))
        sending.start()
        sending.join()
        until(lambda: rows(settings, table) >= first + day.clicks, "all rows")
        used = cpu_seconds(process) - cpu
    taken = waits(settings, table).filter(pl.col("arrival_ms") > began_ms + WARM_UP_SECONDS * 1000)["seconds"]
    return {
        "records": taken.len(),
        "p50_seconds": round(float(taken.quantile(0.5) or 0), 2),
        "p99_seconds": round(float(taken.quantile(0.99) or 0), 2),
        "cores_used": round(used / (WARM_UP_SECONDS + seconds), 2),
        "commits": open_table(settings, table).version(),
    }


def waits(settings: Settings, table: str) -> pl.DataFrame:
    """`arrival_ms` of each row, and `seconds` until the commit that its file came with."""
    opened, frames = open_table(settings, table), []
    committed: Mapping[int, int] = {each["version"]: each["timestamp"] for each in opened.history()}
    known: set[str] = set()
    for version in range(opened.version() + 1):
        opened.load_as_version(version)
        files = set(opened.file_uris()) - known
        known |= files
        if files:
            read = pl.read_parquet(list(files), storage_options=settings.delta_storage_options(), columns=["arrival"])
            arrival = read.select(arrival_ms=pl.col("arrival").dt.epoch("ms"))
            frames.append(arrival.with_columns(seconds=(committed[version] - pl.col("arrival_ms")) / 1000))
    return pl.concat(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=int, default=1_000, help="events per second")
    parser.add_argument("--seconds", type=int, default=45, help="of events at that rate, for each interval")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    settings, machine, seed = load_settings(), describe(), arguments.seed
    fast: dict[str, list[dict[str, Any]]] = {engine: [] for engine in ENGINES}
    fresh: dict[str, dict[str, Any]] = {engine: {} for engine in ENGINES}
    for number in range(arguments.rounds):
        soon = {"flink_checkpoint_seconds": CATCH_UP_SECONDS, "spark_trigger_seconds": CATCH_UP_SECONDS}
        own = prepared(settings, f"bench{seed}_{number}", **soon)
        day = ShopDay(date(2026, 3, 9), arguments.clicks, 0, seed + number)
        sent = send_day(own, day, judged=False).sent[CLICKS.topic]
        for engine in ENGINES:
            fast[engine].append(throughput(own, engine, sent))
            print(engine, fast[engine][-1], flush=True)
    for interval in INTERVALS:
        for engine in ENGINES:
            every = {"flink_checkpoint_seconds": interval, "spark_trigger_seconds": interval}
            own = prepared(settings, f"bench{seed}_{engine}_every_{interval}", **every)
            fresh[engine][f"{interval} s"] = freshness(own, engine, arguments.rate, arguments.seconds, seed)
            print(engine, interval, fresh[engine][f"{interval} s"], flush=True)
    result = {
        "benchmark": "delta_ingest",
        "machine": machine,
        "seed": seed,
        "parallelism": settings.parallelism,
        "checkpoint_seconds": CATCH_UP_SECONDS,
        "rate": arguments.rate,
        "median": {
            engine: {
                name: statistics.median(each[name] for each in rounds)
                for name in ("rows_per_second", "rows_per_cpu_second")
            }
            for engine, rounds in fast.items()
        },
        "throughput": fast,
        "freshness": fresh,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
