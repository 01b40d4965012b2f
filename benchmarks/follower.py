"""What the follower takes for a record, in bulk and live: `python -m benchmarks.follower`.

Needs `lakehouse up minio`. A generated day's clicks and purchases lie in bronze as its ingesters would have left them,
written in the order of sending, with products' versions before them; Kafka and ingest are not in the figures, nor is
the store's own CPU. The follower runs in a process of its own, which the reading of peak memory is of.

*Bulk*: the day but its last `--cycles` lots of `--lot` records comes in batches of 250,000, a cycle each. *Live*: the
rest, a lot per cycle: what a cycle takes when it meets a day that is there. `--late` of the live records are of any
time of the day before.

`--spark`: the same loop with Spark, on two threads, in DataFusion's place: a query's frames go to it as Parquet files.
CPU seconds are then those of both processes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import psutil

from benchmarks.delta_ingest import cpu_seconds
from benchmarks.marts import peak_memory_mib, remove
from infra.local.machine import describe
from jobs.follower.events import BATCH
from jobs.rust_engines.sql import Frames
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import FOLLOWED, table
from lakehouse.delta import Once, append, create_table
from lakehouse.delta.write import to_arrow
from lakehouse.generator.catalogue import base_products
from lakehouse.generator.shop import NO_PRODUCT, PAGES, REGIONS, product_id
from lakehouse.generator.traffic import CLICK, IMPRESSION, PURCHASE, ShopDay, build
from lakehouse.settings import Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "follower.json"
SPARK_RESULT: Final = RESULT.with_name("follower_spark.json")
DAY: Final = date(2024, 3, 1)
PARTITIONS: Final = 6
MIDNIGHT: Final = datetime(2024, 3, 1, tzinfo=UTC)


def records(day: ShopDay) -> dict[str, pl.DataFrame]:
    """By bronze table, the day's valid records in the order of sending, which `sent` numbers over all tables."""
    columns = build(day)
    draw = np.random.default_rng(day.seed)
    pages, regions = pl.Series(PAGES), pl.Series(REGIONS)
    all_records = pl.DataFrame(
        {
            "kind": columns.kind,
            "number": columns.number,
            "ms": columns.time,
            "user": columns.user,
            "product": columns.product,
            "page": pages.gather(columns.page % len(PAGES)),
            "region": regions.gather(columns.region),
            "quantity": columns.quantity,
            "amount_cents": columns.amount,
            "record_hash": draw.integers(0, 1 << 60, len(columns)),
            "partition": columns.user % PARTITIONS,
        }
    ).with_row_index("sent")
    found = {}
    for name, kinds in {"clicks": (IMPRESSION, CLICK), "purchases": (PURCHASE,)}.items():
        time_of = (pl.lit(MIDNIGHT) + pl.duration(milliseconds="ms")).dt.cast_time_unit("us")
        of_topic = all_records.filter(pl.col("kind").is_in(kinds))
        found[f"bronze.{name}"] = of_topic.select(
            "sent",
            pl.format("{}-{}", pl.lit(name), "number").alias("event_id"),
            time_of.alias("event_time"),
            pl.format("u{}", "user").alias("user_id"),
            pl.when(pl.col("product") != NO_PRODUCT)
            .then(pl.col("product").map_elements(product_id, pl.String))
            .alias("product_id"),
            pl.when(pl.col("kind") == CLICK).then(pl.lit("click")).otherwise(pl.lit("impression")).alias("action"),
            "page",
            "region",
            pl.col("quantity").clip(1),
            "amount_cents",
            pl.lit("EUR").alias("currency"),
            pl.lit(f"shop.{name}").alias("topic"),
            "partition",
            pl.int_range(pl.len()).over("partition").alias("offset"),
            time_of.alias("arrival"),
            pl.lit(b"{}").alias("value"),
            "record_hash",
            pl.lit(DAY).alias("arrival_date"),
        )
    return found


def with_late(frames: dict[str, pl.DataFrame], live: int, share: float, seed: int) -> dict[str, pl.DataFrame]:
    """The same in another order: `share` of the last `live` records are of any time before."""
    total = sum(frame.height for frame in frames.values())
    draw = np.random.default_rng(seed)
    order = np.arange(total, dtype=np.float64)
    late = draw.choice(total - live, round(live * share), replace=False)
    order[late] = draw.uniform(total - live, total, len(late))
    sent = np.empty(total, np.int64)
    sent[np.argsort(order, kind="stable")] = np.arange(total)
    moved = pl.Series(sent)
    return {
        name: frame.with_columns(sent=moved.gather(frame["sent"])).with_columns(
            offset=(pl.col("sent").rank("ordinal").over("partition") - 1).cast(pl.Int64)
        )
        for name, frame in frames.items()
    }


def write(settings: Settings, frames: dict[str, pl.DataFrame], first: int, end: int) -> int:
    """Appends what was sent from `first` up to `end`; how many records."""
    written = 0
    for name, frame in frames.items():
        lot = frame.filter(pl.col("sent").is_between(first, end, closed="left"))
        schema = polars_schema(table(name))
        append(settings, name, to_arrow(name, lot.select(schema.names()).cast(schema)), Once.new("bench"))
        written += lot.height
    return written


def write_products(settings: Settings, versions: pl.DataFrame, first_offset: int = 0) -> None:
    """Appends versions of products: `product_id`, `category`, `brand`, `price_cents` and `valid_from`."""
    name = "bronze.products"
    schema, offset = polars_schema(table(name)), pl.int_range(pl.len()) + first_offset
    rows = versions.with_columns(
        event_id=pl.format("v{}", offset),
        event_time="valid_from",
        topic=pl.lit("shop.products"),
        partition=0,
        offset=offset,
        arrival=pl.lit(MIDNIGHT),
        value=pl.lit(b"{}"),
        record_hash=offset,
        arrival_date=pl.lit(DAY),
    )
    append(settings, name, to_arrow(name, rows.select(schema.names()).cast(schema)), Once.new("bench"))


class Child:
    """The follower, which makes a cycle for each line that it is sent."""

    def __init__(self, namespace: str, spark: bool) -> None:
        command = [sys.executable, "-m", "benchmarks.follower", "--follow", namespace, *(["--spark"] if spark else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cycle(self) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("cycle\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class SparkFrames(Frames):
    """Runs queries over frames by Spark."""

    def __init__(self, settings: Settings) -> None:
        from jobs.spark_session import build_session

        self._spark, self._folder = build_session(settings, "bench"), Path(tempfile.mkdtemp())
        self._numbers = count()

    def run(self, query: str, **frames: pl.DataFrame) -> pl.DataFrame:
        from jobs.spark_sql import run_sql

        read = {}
        for name, frame in frames.items():
            path = self._folder / f"{next(self._numbers)}.parquet"
            frame.write_parquet(path, compression="snappy")
            read[name] = self._spark.read.parquet(str(path))
        found = pl.DataFrame(run_sql(self._spark, query, **read).toArrow())
        for path in self._folder.iterdir():
            path.unlink()
        return found


def follow(namespace: str, spark: bool) -> None:
    from jobs.follower.cycle import Follower
    from jobs.follower.lake import Lake

    settings = load_settings().model_copy(update={"namespace": namespace})
    follower = Follower(Lake(settings, FOLLOWED), SparkFrames(settings) if spark else Frames())
    own = psutil.Process()
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), cpu_seconds(own)
        committed = follower.cycle()
        told = {
            "committed": committed,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": cpu_seconds(own) - cpu,
            "peak_memory_mib": peak_memory_mib(),
            "cpu_by_node": follower.cpu_seconds,
        }
        print(json.dumps(told), flush=True)


def lots(total: int, cycles: int, lot: int) -> Iterator[tuple[bool, int, int]]:
    """Whether it is live, and what it holds."""
    bulk = total - cycles * lot
    for first in range(0, bulk, BATCH):
        yield False, first, min(bulk, first + BATCH)
    for first in range(bulk, total, lot):
        yield True, first, first + lot


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    sent, cpu = sum(r["records"] for r in rounds), sum(r["cpu_seconds"] for r in rounds)
    nodes = {name: round(sum(r["cpu_by_node"].get(name, 0.0) for r in rounds), 2) for name in rounds[0]["cpu_by_node"]}
    return {
        "records": sent,
        "cycles": len(rounds),
        "cpu_us_per_record": round(cpu / sent * 1e6, 1),
        "cpu_seconds_per_cycle": round(statistics.mean(r["cpu_seconds"] for r in rounds), 3),
        "seconds_per_cycle": round(statistics.mean(r["seconds"] for r in rounds), 3),
        "peak_memory_mib": max(r["peak_memory_mib"] for r in rounds),
        "cpu_seconds_by_node": dict(sorted(nodes.items(), key=lambda each: -each[1])),
        "cpu_seconds": [round(r["cpu_seconds"], 2) for r in rounds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--clicks", type=int, nargs="+", default=[100_000, 1_000_000], help="Of the day, before the live ones."
    )
    parser.add_argument("--cycles", type=int, default=24, help="Live ones, after the bulk.")
    parser.add_argument("--lot", type=int, default=10_000, help="Records of a live cycle.")
    parser.add_argument("--late", type=float, default=0.01, help="Share of the live records.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--spark", action="store_true", help="Let Spark run the SQL.")
    parser.add_argument("--follow", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.follow:
        follow(arguments.follow, arguments.spark)
        return
    by_clicks = {str(clicks): measured(clicks, arguments) for clicks in arguments.clicks}
    smallest, largest = (by_clicks[str(edge(arguments.clicks))]["live"]["cpu_seconds_per_cycle"] for edge in (min, max))
    result = {
        "benchmark": "follower",
        "machine": describe(),
        "seed": arguments.seed,
        "late": arguments.late,
        "live_cpu_ratio": round(largest / smallest, 2),
        "by_clicks": by_clicks,
    }
    (SPARK_RESULT if arguments.spark else RESULT).write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


def measured(clicks: int, arguments: argparse.Namespace) -> dict[str, Any]:
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    live = arguments.cycles * arguments.lot
    frames = records(ShopDay(DAY, clicks + live, (clicks + live) // 100, arguments.seed))
    frames = with_late(frames, live, arguments.late, arguments.seed)
    rounds: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    try:
        for name in ("bronze.profiles", "bronze.transactions"):
            create_table(settings, name)
        write_products(settings, pl.DataFrame([v._asdict() for v in base_products(arguments.seed)]))
        write(settings, frames, 0, 0)
        child = Child(settings.namespace, arguments.spark)
        child.cycle()
        for is_live, first, end in lots(
            sum(frame.height for frame in frames.values()), arguments.cycles, arguments.lot
        ):
            sent = write(settings, frames, first, end)
            rounds[is_live].append(child.cycle() | {"records": sent})
            found = rounds[is_live][-1]
            most = dict(sorted(found["cpu_by_node"].items(), key=lambda each: -each[1])[:4])
            print(f"{'live' if is_live else 'bulk'}: {found['cpu_seconds']:.2f} CPU s, {most}", file=sys.stderr)
        child.end()
    finally:
        remove(settings)
    return {"bulk": summary(rounds[False]), "live": summary(rounds[True])}


if __name__ == "__main__":
    main()
