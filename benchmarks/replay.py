"""How fast a replay is planned and recomputed, by engine: `python -m benchmarks.replay`.

Needs `lakehouse up kafka minio postgres`. A seeded day of clicks lies in bronze and silver, in commits of a slice each,
as a stream leaves it. The plan is made of the whole day. Then each engine recomputes what it can of the clicks' tables,
in a process of its own as Airflow starts it, Python's and Spark's start included, on `LAKEHOUSE_REPLAY_PARALLELISM`
cores; and each mart is computed alone, from the Delta tables, by each engine that computes it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import explain
from benchmarks.delta_ingest import cpu_seconds
from benchmarks.lake import DAY
from benchmarks.marts import measure, remove
from infra.local.machine import describe
from lakehouse.contracts.events import CLICKS
from lakehouse.delta import create_table
from lakehouse.kafka.topics import create_topics
from lakehouse.replay import store
from lakehouse.replay.request import MARTS, TARGETS, Clock, Engine, Request
from lakehouse.settings import ROOT, Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "replay.json"
MIDNIGHT: Final = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
BESIDE: Final = ("bronze.purchases", "bronze.products", "bronze.transactions", "silver.purchases", "silver.products",
                 "silver.transactions", "gold.user_totals_daily")  # fmt: skip
"""Empty: there are only clicks."""
SAMPLE_SECONDS: Final = 0.1


def plan(settings: Settings, engine: Engine, start: datetime = MIDNIGHT) -> tuple[store.Replay, float]:
    """A plan of the whole day that begins at `start`, and the seconds that it took."""
    now = datetime.now(UTC)
    request = Request.checked(start, start + timedelta(days=1), now, Clock.EVENT, [CLICKS.topic], engine=engine)
    began = time.perf_counter()
    planned = store.plan_replay(settings, request, "benchmark")
    return planned, time.perf_counter() - began


def recompute(settings: Settings, engine: Engine) -> dict[str, Any]:
    """One recomputation in a new process, staged and not swapped in."""
    planned, seconds = plan(settings, engine)
    number = store.approve(settings, planned.id, "benchmark").id
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.batch.replay", "recompute", str(number)],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    cpu, seen = 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            cpu = max(cpu, cpu_seconds(seen))
        except psutil.NoSuchProcess:
            break
        time.sleep(SAMPLE_SECONDS)
    _, said = process.communicate()
    assert process.returncode == 0, said[-2000:]
    took = time.perf_counter() - began
    done = store.get(settings, number).recomputed or {}
    store.cancel(settings, number)
    events = planned.plan.events[CLICKS.topic]
    assert done["rows"]["silver.clicks"] == events
    return {
        "plan_seconds": round(seconds, 2),
        "tables": [name for name in done["rows"] if name in TARGETS],
        "seconds": round(took, 2),
        "cpu_seconds": round(cpu, 2),
        "events_per_second": round(events / took),
        "events_per_cpu_second": round(events / cpu),
    }


def marts_alone(settings: Settings, events: int, rounds: int) -> dict[str, Any]:
    """Each mart of the day from the tables that it is made of, by each engine."""
    measured = {}
    for mart in MARTS:
        for engine in (Engine.POLARS, Engine.DATAFUSION):
            took = [measure(settings.namespace, mart, engine) for _ in range(rounds)]
            seconds, cpu = (statistics.median(r[clock] for r in took) for clock in ("seconds", "cpu_seconds"))
            measured[f"{mart} by {engine}"] = {
                "seconds": round(seconds, 3),
                "events_per_second": round(events / seconds),
                "events_per_cpu_second": round(events / cpu),
            }
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", action="append", choices=list(Engine), help="once per engine; all without one")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    machine = describe()
    try:
        create_topics(settings)
        rows = explain.write_lake(settings, arguments.events, arguments.commits, arguments.seed)
        for name in (*TARGETS, *BESIDE):
            create_table(settings, name)
        plans = []
        for _ in range(arguments.rounds):
            planned, seconds = plan(settings, Engine.SPARK)
            store.cancel(settings, planned.id)
            plans.append(round(seconds, 2))
        measured = {
            str(engine): [recompute(settings, Engine(engine)) for _ in range(arguments.rounds)]
            for engine in arguments.engine or Engine
        }
        marts = marts_alone(settings, rows["silver.clicks"], arguments.rounds)
    finally:
        remove(settings)
    result = {
        "benchmark": "replay",
        "machine": machine,
        "seed": arguments.seed,
        "commits": arguments.commits,
        "cores": settings.replay_parallelism,
        "rows": rows,
        "plan_seconds": plans,
        "recomputed": measured,
        "marts_alone": marts,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
