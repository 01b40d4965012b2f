"""How long `lakehouse explain` takes on a day of many events: `python -m benchmarks.explain`.

Needs `lakehouse up minio`. A seeded day of clicks, in time order but for some that are late, is written to bronze and
silver in commits of a slice each, as a stream does; gold is summed from them. Then rows with few and with many records
are explained, each in a process of its own: the command as one types it, Python's start included.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.marts import remove
from infra.local.machine import describe
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, scan
from lakehouse.delta.write import to_arrow
from lakehouse.ledger import DERIVED
from lakehouse.settings import ROOT, Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "explain.json"
TOPIC: Final = "shop.clicks"
GOLD: Final = "gold.product_metrics_5m"
SESSIONS: Final = "silver.sessions"
_MIDNIGHT: Final = datetime(2024, 3, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000
_PARTITIONS: Final = 6


def slices(events: int, commits: int, seed: int) -> Iterator[pl.DataFrame]:
    """Bronze's rows, a commit at a time. Products sell by a Zipf law; one event in a hundred is up to 10 min late."""
    draw = np.random.default_rng(seed)
    rows, length = events // commits, _DAY_MS // commits
    for number in range(commits):
        arrival = np.sort(draw.integers(number * length, (number + 1) * length, rows))
        late = np.where(draw.random(rows) < 0.01, draw.integers(0, 600_000, rows), draw.integers(0, 2_000, rows))
        frame = pl.DataFrame(
            {
                "arrived": arrival,
                "happened": np.maximum(0, arrival - late),
                "user": draw.integers(0, max(10, events // 100), rows),
                "product": np.minimum(draw.zipf(1.2, rows), 10_000),
                "action": draw.choice(["impression", "click"], rows, p=[0.9, 0.1]),
            }
        )
        yield _bronze(frame, number * rows)


def _bronze(drawn: pl.DataFrame, first: int) -> pl.DataFrame:
    partition = (pl.col("user") % _PARTITIONS).cast(pl.Int32)
    named = drawn.select(
        pl.format("e{}", pl.int_range(pl.len()) + first).alias("event_id"),
        _time("happened").alias("event_time"),
        pl.format("user-{}", "user").alias("user_id"),
        pl.format("product-{}", "product").alias("product_id"),
        "action",
        page=pl.lit("/shop"),
        region=pl.lit("north"),
        topic=pl.lit(TOPIC),
        partition=partition,
        # One offset in six is a partition's: what matters is that they grow with arrival.
        offset=pl.int_range(pl.len()) + first,
        arrival=_time("arrived"),
    )
    payload = pl.struct("event_id", pl.col("event_time").dt.to_string("iso:strict"), "user_id", "product_id", "action")
    valued = named.with_columns(
        value=payload.struct.json_encode().cast(pl.Binary), arrival_date=pl.col("arrival").dt.date()
    )
    places = valued.select("topic", "partition", "offset", "value").iter_rows()
    hashed = valued.with_columns(record_hash=pl.Series([record_hash(*place) for place in places], dtype=pl.Int64))
    return hashed.cast(dict(polars_schema(table("bronze.clicks"))))


def _time(column: str) -> pl.Expr:
    return (pl.lit(_MIDNIGHT) + pl.duration(milliseconds=column)).dt.cast_time_unit("us")


def write_lake(settings: Settings, events: int, commits: int, seed: int) -> dict[str, int]:
    """Writes the tables; returns the rows of each."""
    for rows in slices(events, commits, seed):
        append(settings, "bronze.clicks", to_arrow("bronze.clicks", rows), Once.new("bench"))
        silver = rows.with_columns(event_date=pl.col("event_time").dt.date())
        append(
            settings, "silver.clicks", to_arrow("silver.clicks", _filled("silver.clicks", silver)), Once.new("bench")
        )
    written = {"bronze.clicks": events // commits * commits, "silver.clicks": events // commits * commits}
    sources = {name: _filled(name, pl.DataFrame()).lazy() for name in ("silver.purchases",)}
    sources["silver.clicks"] = scan(settings, "silver.clicks")
    for name in (GOLD, SESSIONS):
        derived = DERIVED[name]
        given = derived.keyed(derived.gives(sources))
        rows = given.group_by(derived.key).agg(
            pl.sum("events", "fingerprint"), pl.max("event_time").alias("session_end"), pl.first("event_date")
        )
        content = _filled(name, rows.collect(engine="streaming"))
        append(settings, name, to_arrow(name, content), Once.new("bench"))
        written[name] = content.height
    return written


def _filled(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """With what explanations don't look at."""
    zero = {pl.String(): "", pl.Float64(): 0.0, pl.Boolean(): False, pl.Datetime("us", "UTC"): _MIDNIGHT}
    schema = polars_schema(table(name))
    gained = [pl.lit(zero.get(kind, 0)).alias(column) for column, kind in schema.items() if column not in rows.columns]
    return (
        rows.with_columns(gained).select(schema.names()).cast(dict(schema))
        if rows.width
        else pl.DataFrame(schema=schema)
    )


def chosen(settings: Settings) -> dict[str, tuple[str, ...]]:
    """What is explained: rows in the middle of the day, or where they fall."""
    noon = _MIDNIGHT + timedelta(hours=12)
    windows = scan(settings, GOLD).filter(pl.col("window_start") == noon).sort("events").collect()
    sessions = scan(settings, SESSIONS).sort("events").select("user_id", "session_start").tail(1).collect()
    user, start = sessions.row(0)
    return {
        "a window with few events": (GOLD, windows["product_id"][0], "2024-03-01T12:00"),
        "the window with the most events": (GOLD, windows["product_id"][-1], "2024-03-01T12:00"),
        "the longest session": (SESSIONS, user, start.isoformat()),
    }


def measure(settings: Settings, row: tuple[str, ...]) -> dict[str, Any]:
    """One explanation in a new process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "cli", "explain", *row, "--json"],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(ran.stdout)
    assert told["adds_up"], told["flaws"]
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "seconds_by_step": told["seconds"],
        "records": len(told["records"]),
        "late": sum(count for name, count in told["lateness"].items() if name != "on_time"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    machine = describe()
    try:
        rows = write_lake(settings, arguments.events, arguments.commits, arguments.seed)
        measured = {}
        for what, row in chosen(settings).items():
            rounds = [measure(settings, row) for _ in range(arguments.rounds)]
            measured[what] = {"median_seconds": statistics.median(r["seconds"] for r in rounds), "rounds": rounds}
    finally:
        remove(settings)
    result = {
        "benchmark": "explain",
        "machine": machine,
        "seed": arguments.seed,
        "commits": arguments.commits,
        "rows": rows,
        "measured": measured,
    }
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
