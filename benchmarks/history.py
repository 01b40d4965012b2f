"""A thin history, loaded at once: `python -m benchmarks.history`.

Some clicks and purchases a day over 18 months wait in Kafka when the core's jobs start, on a stack of its own. Seconds
count from when the core reads until every silver and gold table follows from all of it and equals the reference; files
are those of the table that has most, then, and after maintenance.
"""

import argparse
import json
import time
from datetime import date, timedelta
from typing import Any, Final

from benchmarks.core import backlog, record
from experiments.faults.own_stack import own_stack
from infra.local.machine import describe
from infra.local.stack import LocalStack
from lakehouse.catalog import publish_seeded
from lakehouse.contracts.core import CORE
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import BRONZE
from lakehouse.delta import open_table
from lakehouse.delta.describe import extent
from lakehouse.generator.traffic import ShopDay
from lakehouse.produce import send_day
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import Settings
from lakehouse.upkeep import maintain

DAYS: Final = 548
FIRST: Final = date(2024, 9, 1)


def files(settings: Settings) -> dict[str, int]:
    """By table, the most first."""
    found = {name: extent(open_table(settings, name)).files for name in (*BRONZE, *DERIVED)}
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def measure(stack: LocalStack, clicks: int, purchases: int, seed: int) -> dict[str, Any]:
    stack.up(["kafka", "minio", "postgres", "flink"])
    settings, sent = stack.settings, 0
    migrate(settings)
    publish_seeded(settings, seed, FIRST)
    for number in range(DAYS):
        day = ShopDay(FIRST + timedelta(number), clicks // DAYS, purchases // DAYS, seed + number)
        sent += send_day(settings, day, judged=False).sent.total()
    found = backlog(settings, sent)
    before = files(settings)
    for name in before:
        maintain(settings, name)
    return {"backlog": found, "files": before, "files_after_maintenance": files(settings)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=32_000)
    parser.add_argument("--purchases", type=int, default=70_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    machine = describe()
    with own_stack(proxied=False, name="benchmark-history", hasty=False) as stack:
        found = measure(stack, arguments.clicks, arguments.purchases, arguments.seed)
    told = {
        "history_seconds": found["backlog"]["seconds"],
        "history_files": max(found["files"].values()),
        "history_files_after_maintenance": max(found["files_after_maintenance"].values()),
    }
    record("history", told, {"machine": machine, "seed": arguments.seed, "core": CORE} | found)
    print(json.dumps(told | found, indent=2))


if __name__ == "__main__":
    main()
