"""What a change of few products takes when there are very many: `python -m benchmarks.catalogue`.

Needs `lakehouse up minio`. A catalogue of `--products` lies in bronze with a day's clicks and purchases, and the
follower has settled. Then `--changed` of them change, one of these valid since a year: cycles until nothing is left to
do. CPU seconds are the follower's; those of nodes of events are what it takes to enrich them again.
"""

import argparse
import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.follower import DAY, MIDNIGHT, Child, records, write, write_products
from benchmarks.marts import remove
from infra.local.machine import describe
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.delta import create_table
from lakehouse.generator.shop import product_id
from lakehouse.generator.traffic import ShopDay
from lakehouse.settings import load_settings

RESULT: Final = Path(__file__).with_name("results") / "catalogue.json"
_YEAR: Final = timedelta(days=365)
_ENRICHED: Final = tuple(f"silver.{event.table}{FOLLOWED}" for event in EVENTS.values() if not event.changelog)


def versions(products: pl.Series, valid_from: list[datetime]) -> pl.DataFrame:
    """One of each product."""
    since = {"product_id": products, "valid_from": valid_from}
    same = {"category": pl.lit("tools"), "brand": pl.lit("acme"), "price_cents": pl.int_range(pl.len()) % 10_000}
    return pl.DataFrame(since).with_columns(**same)


def cycles(child: Child) -> list[dict[str, Any]]:
    """Until one commits nothing."""
    found = [child.cycle()]
    while found[-1]["committed"]:
        found.append(child.cycle())
    return found


def of_cycles(found: list[dict[str, Any]]) -> dict[str, Any]:
    """CPU seconds of all of them, and of those the nodes of events apart."""
    by_node: dict[str, float] = {}
    for each in found:
        for name, seconds in each["cpu_by_node"].items():
            by_node[name] = by_node.get(name, 0.0) + seconds
    total = sum(each["cpu_seconds"] for each in found)
    enriched = sum(by_node.get(name, 0.0) for name in _ENRICHED)
    return {
        "cycles": len(found),
        "cpu_seconds": round(total, 2),
        "cpu_seconds_beside_events": round(total - enriched, 2),
        "highest_cycle_cpu_seconds": round(max(each["cpu_seconds"] for each in found), 2),
        "peak_memory_mib": max(each["peak_memory_mib"] for each in found),
        "cpu_seconds_by_node": {name: round(s, 2) for name, s in sorted(by_node.items(), key=lambda e: -e[1])},
    }


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    names = pl.Series([product_id(number) for number in range(arguments.products)])
    try:
        for name in ("bronze.profiles", "bronze.transactions"):
            create_table(settings, name)
        write_products(settings, versions(names, [MIDNIGHT - 2 * _YEAR] * len(names)))
        frames = records(ShopDay(DAY, arguments.clicks, arguments.clicks // 100, arguments.seed))
        write(settings, frames, 0, sum(frame.height for frame in frames.values()))
        child = Child(settings.namespace, spark=False)
        loaded = cycles(child)
        since = [MIDNIGHT - _YEAR, *[MIDNIGHT + timedelta(hours=12)] * (arguments.changed - 1)]
        write_products(settings, versions(names.head(arguments.changed), since), len(names))
        changed = cycles(child)
        child.end()
    finally:
        remove(settings)
    return {"loaded": of_cycles(loaded), "changed": of_cycles(changed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--changed", type=int, default=100)
    parser.add_argument("--clicks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    result = {"benchmark": "catalogue", "machine": describe(), **vars(arguments)} | measured(arguments)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
