"""Both cores, and the follower on Spark, each alone on a stack of its own: `python -m benchmarks.core`.

*Backlog*: `--clicks` wait in Kafka, with a hundredth as many purchases and transactions, when the core's jobs start
(no other job runs). Time counts from when the core reads: all tasks of ingest run, or Spark's first micro-batch has
begun; until every silver and gold table follows from all of it, by the core's own journal (*drained* knows it later).
CPU seconds are those of the core's processes until drained: Flink's TaskManager and JobManager and the follower, or the
Spark driver and Flink's; store and Kafka are told apart.

*Flow*: then events come at `--rate` for `--seconds`, of which those of the first `WARM_UP_SECONDS` are not counted:
what a record takes from its arrival in Kafka until every gold table has it, and the cores that the core takes.

Each core is a child process, as the contracts of a process are those of one core.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.delta_ingest import cpu_seconds
from cli.demo.memory import MemoryPeak
from experiments.faults.own_stack import own_stack
from infra.local.machine import describe
from infra.local.stack import LocalStack
from jobs import journal
from jobs.streaming.spark.progress import journal_path as spark_journal
from lakehouse.catalog import publish_seeded
from lakehouse.checkpoints import Positions
from lakehouse.compare import compare
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST, INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.contracts.tables import BRONZE
from lakehouse.cuts import ends_of
from lakehouse.delta import open_table
from lakehouse.drained import kafka_ends, wait_until_drained
from lakehouse.flink_rest import call_flink
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import topic_ids
from lakehouse.produce import send_day
from lakehouse.runtime.reconcile import start
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import ROOT, Settings

RESULT: Final = Path(__file__).with_name("results") / "core.json"
WARM_UP_SECONDS: Final = 60
PATIENCE_SECONDS: Final = 3_600
STARTUP: Final = timedelta(minutes=10)
OF_CORE: Final = {Core.SPARK: (SPARK_INGEST, INGEST_TRANSACTIONS), Core.FOLLOWER: (INGEST, FOLLOWER)}
PROGRAMS: Final = {
    Core.SPARK: ("flink-jobmanager", "flink-taskmanager", job_program(SPARK_INGEST)),
    Core.FOLLOWER: ("flink-jobmanager", "flink-taskmanager", job_program(FOLLOWER)),
}
BESIDE: Final = ("kafka", "minio", "postgres")
MEASURED: Final = {
    "spark": {"LAKEHOUSE_CORE": Core.SPARK},
    "follower": {"LAKEHOUSE_CORE": Core.FOLLOWER},
    "spark_follower": {"LAKEHOUSE_CORE": Core.FOLLOWER, "LAKEHOUSE_FOLLOWER": "spark"},
}
"""What makes a core of a child."""
TABLES: Final = (*BRONZE, *DERIVED)


def used_by_program(settings: Settings) -> dict[str, float]:
    """CPU seconds of each."""
    found = {}
    for name in (*PROGRAMS[CORE], *BESIDE):
        if pid := Supervisor(settings).status(name).pid:
            found[name] = cpu_seconds(psutil.Process(pid))
    return found


def spent(settings: Settings, before: Mapping[str, float]) -> dict[str, float]:
    return {name: round(used - before.get(name, 0.0), 1) for name, used in used_by_program(settings).items()}


def reads(settings: Settings) -> bool:
    """Whether all tasks of ingest run, or Spark's first micro-batch has begun."""
    if CORE is Core.SPARK:
        return spark_journal(settings).exists()
    runs = [run for run in call_flink(settings, "GET", "/jobs/overview")["jobs"] if run["name"] == INGEST]
    return any(run["tasks"]["running"] == run["tasks"]["total"] for run in runs)


def backlog(settings: Settings, sent: int) -> dict[str, Any]:
    """What the core takes over so many records that wait in Kafka. Raises AssertionError: a table is wrong."""
    for job in OF_CORE[CORE]:
        start(settings, JOBS[job], "benchmark")
    began = time.monotonic()
    while not reads(settings):
        assert time.monotonic() < began + PATIENCE_SECONDS, "nothing is read"
        time.sleep(0.1)
    started, started_at, before = time.monotonic(), datetime.now(UTC), used_by_program(settings)
    if CORE is Core.FOLLOWER:
        ends = kafka_ends(settings)
        while not covered(settings, ends):
            assert time.monotonic() < began + PATIENCE_SECONDS, "bronze has not all"
            time.sleep(2)
        ingested = {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": spent(settings, before)}
    ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False, ingest=True)
    known, used = time.monotonic() - started, spent(settings, before)
    entries = journal.finished(settings, started_at - STARTUP)
    settled = max(datetime.fromisoformat(entry["ended_at"]) for entry in entries)
    seconds = (settled - started_at).total_seconds()
    own = sum(used.get(name, 0.0) for name in PROGRAMS[CORE])
    compared = compare(settings, TABLES, ends).tables
    # A benchmark may send nothing that some table is made of.
    wrong = [t.table for t in compared if t.missing or t.unexpected or t.different]
    assert not wrong, f"{', '.join(wrong)} differ from the reference"
    return {
        "records": sent,
        "startup_seconds": round(started - began, 1),
        "seconds": round(seconds, 1),
        "known_after_seconds": round(known, 1),
        "records_per_second": round(sent / seconds),
        "cpu_us_per_record": round(own / sent * 1e6, 1),
        "cpu_seconds": used,
    } | ({"bronze": ingested} if CORE is Core.FOLLOWER else {})


def covered(settings: Settings, ends: Positions) -> bool:
    """Whether bronze has all records up to `ends`."""
    opened = {name: open_table(settings, name) for name in BRONZE}
    have = ends_of(opened, topic_ids(settings, EVENTS), ends)
    return all(have[topic][p] >= end for topic, each in ends.items() for p, end in each.items())


def flow(settings: Settings, day: ShopDay, rate: int, seconds: int) -> dict[str, Any]:
    began, before = datetime.now(UTC), used_by_program(settings)
    send_day(settings, day, judged=False, rate=rate)
    used, took = spent(settings, before), (datetime.now(UTC) - began).total_seconds()
    wait_until_drained(settings, PATIENCE_SECONDS, live=False, ingest=True)
    arrived = journal.until_gold(settings, journal.finished(settings, began))
    from_ms = (began.timestamp() + WARM_UP_SECONDS) * 1000
    fresh = arrived.filter(arrived["arrival_ms"] > from_ms)["seconds"].drop_nulls()
    return {
        "events_per_second": rate,
        "seconds": seconds,
        "samples": fresh.len(),
        "gold_p50_seconds": round(float(fresh.quantile(0.5) or 0), 1),
        "gold_p99_seconds": round(float(fresh.quantile(0.99) or 0), 1),
        "cores": round(sum(used.get(name, 0.0) for name in PROGRAMS[CORE]) / took, 2),
        "cpu_seconds": used,
    }


def measure(stack: LocalStack, clicks: int, rate: int, seconds: int, seed: int) -> dict[str, Any]:
    stack.up(["kafka", "minio", "postgres", "flink"])
    settings = stack.settings
    migrate(settings)
    first, second = date(2026, 3, 2), date(2026, 3, 3)
    publish_seeded(settings, seed, first)
    with MemoryPeak(stack.supervisor) as memory:
        of_backlog = ShopDay(first, clicks, clicks // 100, seed, transactions=clicks // 100, broken=0.001)
        found = {"backlog": backlog(settings, send_day(settings, of_backlog, judged=False).sent.total())}
        if seconds:
            events = rate * seconds
            of_flow = ShopDay(second, events, events // 100, seed + 1, transactions=events // 100, late=0.01)
            found["flow"] = flow(settings, of_flow, rate, seconds)
    return found | {"peak_mib": {name: used >> 20 for name, used in memory.peak.most_common()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=1_000, help="events per second")
    parser.add_argument("--seconds", type=int, default=900, help="of flow; 0: none")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--cores", nargs="+", choices=list(MEASURED), default=list(MEASURED), help="which")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = (arguments.clicks, arguments.rate, arguments.seconds, arguments.seed)
    if arguments.child:
        with own_stack(proxied=False, name=f"benchmark-{CORE}", hasty=False) as stack:
            print(json.dumps(measure(stack, *sizes)))
        return
    machine, found = describe(), {}
    for core in arguments.cores:
        named = zip(("--clicks", "--rate", "--seconds", "--seed"), map(str, sizes), strict=True)
        command = [sys.executable, "-m", "benchmarks.core", "--child", *(word for pair in named for word in pair)]
        answer = subprocess.run(
            command, cwd=ROOT, env=os.environ | MEASURED[core], check=True, stdout=subprocess.PIPE, text=True
        )
        found[core] = json.loads(answer.stdout.splitlines()[-1])
        print(json.dumps({core: found[core]}, indent=2))
    record("core", figures(found), {"machine": machine, "seed": arguments.seed} | found)


def record(benchmark: str, told: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Keeps what a benchmark tells of the core beside what others have told, each with the command that gave it; what
    it was taken from lies under the benchmark's name."""
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    command = f"python -m benchmarks.{benchmark} {' '.join(sys.argv[1:])}".strip()
    taken_by = {**kept.get("taken_by", {}), **dict.fromkeys(told, command)}
    RESULT.write_text(json.dumps(kept | told | {"taken_by": taken_by, benchmark: raw}, indent=2) + "\n")


def figures(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of the follower; and where both were measured, how many times the Spark driver's these are."""
    told: dict[str, Any] = {}
    if "spark_follower" in found:
        on_spark = found["spark_follower"]
        told["spark_cpu_us_per_record"] = on_spark["backlog"]["cpu_us_per_record"]
        if "flow" in on_spark:
            told["spark_gold_p99_seconds"] = on_spark["flow"]["gold_p99_seconds"]
        if "spark" in found:
            told["spark_ratio_to_before"] = ratio(on_spark, found["spark"])
    if "follower" not in found:
        return told
    own = found["follower"]
    told |= {name: own["backlog"][name] for name in ("records_per_second", "cpu_us_per_record")}
    if "flow" in own:
        told |= {name: own["flow"][name] for name in ("gold_p50_seconds", "gold_p99_seconds")}
        told["cores_at_1000_per_second"] = own["flow"]["cores"]
    told["follower_peak_mib"] = own["peak_mib"][job_program(FOLLOWER)]
    if "spark" in found:
        told["ratio_to_before"] = ratio(own, found["spark"])
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        told["before_commit"] = commit.stdout.strip() or "unknown"
    return told


def ratio(one: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, float]:
    """How many times what it was before."""
    names = ("records_per_second", "cpu_us_per_record")
    return {name: round(one["backlog"][name] / before["backlog"][name], 2) for name in names}


if __name__ == "__main__":
    main()
