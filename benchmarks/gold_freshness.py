"""From Kafka's arrival time to gold: `python -m benchmarks.gold_freshness`.

Needs the stack with `spark_lakehouse` running. A generated day flows at `--rate`. Each record's arrival is read from
bronze, the end of its micro-batch from the driver's journal: every table is refreshed by then.
"""

import argparse
import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from infra.local.machine import describe
from jobs.journal import finished, until_gold
from lakehouse.drained import wait_until_drained
from lakehouse.generator.traffic import ShopDay
from lakehouse.produce import send_day
from lakehouse.settings import load_settings

RESULT = Path(__file__).with_name("results") / "gold_freshness.json"
WARM_UP_SECONDS = 120
"""Until then the cycles fall in with the rate; those records are not counted."""


def told(seconds: pl.Series) -> dict[str, Any]:
    """How many records, and their freshness."""
    return {
        "records": seconds.len(),
        "p50_seconds": round(float(seconds.quantile(0.5)), 1),
        "p99_seconds": round(float(seconds.quantile(0.99)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1_000, help="events per second")
    parser.add_argument("--seconds", type=int, default=420)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    settings, machine = load_settings(), describe()
    began_ms = time.time() * 1000
    send_day(
        settings,
        ShopDay(date(2026, 3, 10), arguments.rate * arguments.seconds, 0, arguments.seed),
        judged=False,
        rate=arguments.rate,
    )
    wait_until_drained(settings, 900, live=False)
    batches = finished(settings, datetime.fromtimestamp(began_ms / 1000, UTC))
    seconds = until_gold(settings, batches).filter(pl.col("arrival_ms") > began_ms + WARM_UP_SECONDS * 1000)["seconds"]
    result = {
        "benchmark": "gold_freshness",
        "machine": machine,
        "seed": arguments.seed,
        "events_per_second": arguments.rate,
        "seconds": arguments.seconds,
    } | told(seconds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
