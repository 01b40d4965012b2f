"""What a replay and a backfill of 30 days cost the live tables: `python -m benchmarks.freshness_beside`.

Needs the whole stack with `spark_lakehouse` running, and no history of its own. 30 days are sent and waited for. Then
events flow at `--rate`, and freshness, from Kafka's arrival to gold as `benchmarks.gold_freshness` measures it, is told
for the records that arrived with nothing beside, during a replay of a day of all clicks' tables by Spark, and during
Airflow's own backfill of the marts of 30 days, two days at a time.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.gold_freshness import told
from benchmarks.replay import plan
from infra.local.machine import describe
from jobs.streaming.spark.freshness import until_gold
from jobs.streaming.spark.progress import finished_batches
from lakehouse.airflow_api import AirflowClient
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import BACKFILL, SPARK_INGEST
from lakehouse.delta import create_table
from lakehouse.drained import wait_until_drained
from lakehouse.generator.traffic import ShopDay
from lakehouse.produce import send_day
from lakehouse.replay.request import Engine
from lakehouse.settings import ROOT, Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "freshness_beside.json"
FIRST: Final = date(2026, 3, 1)
DAYS: Final = 30
LIVE: Final = date(2026, 4, 15)
"""Away from the history, so that no row that is replayed is also counted anew by the stream."""
PATIENCE_SECONDS: Final = 1800


def nothing(seconds: float, _: Settings) -> dict[str, Any]:
    """Let events flow."""
    time.sleep(seconds)
    return {}


def replay(settings: Settings) -> dict[str, Any]:
    """Plan, approve and carry out, as `lakehouse replay run` does."""
    planned, _ = plan(settings, Engine.SPARK, datetime.combine(FIRST, datetime.min.time(), UTC))
    subprocess.run([sys.executable, "-m", "cli", "replay", "run", str(planned.id)], cwd=ROOT, check=True)
    return {"events": sum(planned.plan.events.values())}


def backfill(settings: Settings) -> dict[str, Any]:
    """By Airflow, from its first run to its last."""
    last = FIRST + timedelta(days=DAYS - 1)
    with AirflowClient(settings) as airflow:
        airflow.wait_for_dags([BACKFILL])
        airflow.unpause(BACKFILL)
        airflow.backfill(BACKFILL, FIRST, last)
        runs = airflow.backfill_runs(BACKFILL, FIRST, last)
        for run in runs:
            airflow.wait(run, PATIENCE_SECONDS)
        airflow.pause(BACKFILL)
    assert len(runs) == DAYS
    return {"days": DAYS}


BESIDE: Final[dict[str, Callable[[Settings], dict[str, Any]]]] = {"replay": replay, "backfill": backfill}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=500, help="events per second")
    parser.add_argument("--clicks", type=int, default=30_000, help="events of each day of the history")
    parser.add_argument("--alone-seconds", type=int, default=240)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--beside", action="append", choices=list(BESIDE), help="once for each; both without")
    arguments = parser.parse_args()
    settings, machine = load_settings(), describe()
    create_table(settings, "bronze.transactions")  # a replay reads it, and there are only clicks and purchases
    for number in range(DAYS):
        day = ShopDay(FIRST + timedelta(days=number), arguments.clicks, arguments.clicks // 100, arguments.seed)
        send_day(settings, day, judged=False)
    wait_until_drained(settings, PATIENCE_SECONDS, live=False)

    phases: dict[str, Callable[[Settings], dict[str, Any]]] = {
        "nothing": partial(nothing, arguments.alone_seconds),
        **{name: BESIDE[name] for name in arguments.beside or BESIDE},
    }
    began = datetime.now(UTC)
    options = f"--rate {arguments.rate} --duration {2 * PATIENCE_SECONDS} --day {LIVE} --seed {arguments.seed}"
    produce = [sys.executable, "-m", "cli", "produce", "--generator", "--no-validate", *options.split()]
    load = subprocess.Popen(produce, cwd=ROOT, stdout=subprocess.DEVNULL)
    spans: dict[str, tuple[float, float, dict[str, Any]]] = {}
    try:
        for name, carry_out in phases.items():
            time.sleep(60)  # the stream falls in with the rate, and gets over the phase before
            start_ms = time.time() * 1000
            done = carry_out(settings)
            spans[name] = (start_ms, time.time() * 1000, done)
            assert load.poll() is None, "events have ended"
    finally:
        load.terminate()
        load.wait()
    wait_until_drained(settings, PATIENCE_SECONDS, live=False)

    records = until_gold(settings, finished_batches(settings, began))
    result: dict[str, Any] = {
        "benchmark": "freshness_beside",
        "machine": machine,
        "seed": arguments.seed,
        "events_per_second": arguments.rate,
        "history_clicks": arguments.clicks * DAYS,
        "target_seconds": JOBS[SPARK_INGEST].freshness_seconds,
        "beside": {},
    }
    for name, (start_ms, end_ms, done) in spans.items():
        seconds = records.filter(pl.col("arrival_ms").is_between(start_ms, end_ms))["seconds"]
        result["beside"][name] = done | {"seconds": round((end_ms - start_ms) / 1000)} | told(seconds)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
