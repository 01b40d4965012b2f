"""What a cycle of user totals takes when few of very many users have bought: `python -m benchmarks.user_totals`.

Needs `lakehouse up minio`. `gold.user_totals_daily` is written for so many `--days` and `gold.user_totals` of it, as
the follower would have; then so many users buy on the day after, and half of them once more, a cycle each. Figures are
of the process that has the table alone. `--anew`: the same by computing the changed rows from all days.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.marts import peak_memory_mib, remove
from infra.local.machine import describe
from jobs.follower.lake import Lake
from jobs.follower.refresh import Refresh
from jobs.follower.totals import Running
from jobs.rust_engines.sql import Frames
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import FOLLOWED, table
from lakehouse.delta import create_table
from lakehouse.delta.files import Source, commit_files, write_files
from lakehouse.delta.notes import Follow
from lakehouse.semantics.metrics import ROOMS
from lakehouse.settings import Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "user_totals.json"
DAILY: Final = "gold.user_totals_daily"
TOTALS: Final = "gold.user_totals"
DAY: Final = datetime(2024, 3, 1, tzinfo=UTC)
DAYS_FOR_ALL: Final = 40
"""In so many days each user buys once."""
NOTE: Final = Follow(job="bench")
_SECONDS: Final = 86_400


class History:
    """Rows of days, and what they add up to by user."""

    def __init__(self, users: int, seed: int) -> None:
        self._draw, self.users = np.random.default_rng(seed), users
        self.purchases, self.revenue, self.fingerprint = (np.zeros(users, np.int64) for _ in range(3))
        self.first = np.full(users, np.iinfo(np.int64).max)
        self.last = np.full(users, -1)

    def day(self, number: int, who: np.ndarray[Any, Any]) -> pl.DataFrame:
        """Each of `who` buys once."""
        at = number * _SECONDS + self._draw.integers(0, _SECONDS, len(who))
        cents, fingerprint = (self._draw.integers(1, top, len(who)) for top in (100_000, 1 << 40))
        self.purchases[who] += 1
        self.revenue[who] += cents
        self.fingerprint[who] += fingerprint
        self.first[who], self.last[who] = np.minimum(self.first[who], at), np.maximum(self.last[who], at)
        ones = np.ones(len(who), np.int64)
        return _frame(DAILY, who, ones, cents, at, at, fingerprint).with_columns(
            event_date=pl.lit((DAY + timedelta(days=number)).date())
        )

    def totals(self) -> pl.DataFrame:
        who = np.flatnonzero(self.purchases)
        each = (self.purchases, self.revenue, self.first, self.last, self.fingerprint)
        return _frame(TOTALS, who, *(values[who] for values in each))

    def days(self, count: int) -> Iterator[pl.DataFrame]:
        for number in range(count):
            first = number % DAYS_FOR_ALL
            yield self.day(number, np.arange(first, self.users, DAYS_FOR_ALL))


def _frame(name: str, who: Any, purchases: Any, revenue: Any, first: Any, last: Any, fingerprint: Any) -> pl.DataFrame:
    def time_of(seconds: Any) -> pl.Expr:
        return pl.lit(DAY) + pl.duration(seconds=pl.lit(pl.Series(seconds)))

    frame = pl.DataFrame({"who": who, "purchases": purchases, "revenue_cents": revenue, "fingerprint": fingerprint})
    columns = {name: kind for name, kind in polars_schema(table(name)).items() if name != "event_date"}
    return frame.select(
        pl.col("purchases", "revenue_cents", "fingerprint"),
        user_id=pl.format("u{}", "who"),
        first_purchase=time_of(first),
        last_purchase=time_of(last),
        events="purchases",
        changed_by=pl.lit("bench"),
    ).select(pl.col(name).cast(kind) for name, kind in columns.items())


def both(day: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """The rows of a day with what came later."""
    sums, key = ("purchases", "revenue_cents", "events", "fingerprint"), ["user_id", "event_date"]
    found = (
        pl.concat([day, more])
        .group_by(key)
        .agg(pl.sum(*sums), pl.min("first_purchase"), pl.max("last_purchase"), pl.first("changed_by"))
    )
    return found.select(day.columns).cast(dict(day.schema))


def put(settings: Settings, frames: Iterator[pl.DataFrame], removed: list[str]) -> list[str]:
    """Commits days to the daily table; its new files."""
    name = f"{DAILY}{FOLLOWED}"
    opened = create_table(settings, name)
    written = write_files(settings, name, frames)
    commit_files(settings, name, opened, written, removed, NOTE)
    return [add.path for add in written]


def begin(settings: Settings, history: History, days: int) -> None:
    put(settings, history.days(days), [])
    lake = Lake(settings, FOLLOWED)
    source = Source.of(f"{DAILY}{FOLLOWED}", lake.opened(DAILY))
    written = lake.write(TOTALS, history.totals())
    lake.commit(TOTALS, written, [], NOTE, {source: lake.version(DAILY)})


def follow(namespace: str, anew: bool) -> None:
    """In a process of its own: a cycle for each line that it is sent."""
    lake = Lake(load_settings().model_copy(update={"namespace": namespace}), FOLLOWED)
    totals, frames = ROOMS[TOTALS].totals, Frames()
    assert totals
    node = Refresh(lake, TOTALS, frames=frames) if anew else Running(lake, TOTALS, frames=frames, totals=totals)
    lake.opened(DAILY), lake.opened(TOTALS)
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        lake.refresh(DAILY)
        assert node.cycle()
        used = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        told = {name: round(value, 2) for name, value in used.items()} | {"peak_memory_mib": peak_memory_mib()}
        print(json.dumps(told), flush=True)


def measured(settings: Settings, users: int, days: int, changed: int, seed: int, anew: bool) -> list[dict[str, Any]]:
    history = History(users, seed)
    begin(settings, history, days)
    draw, found, files = np.random.default_rng(seed + 1), [], list[str]()
    who = draw.choice(users, changed, replace=False)
    command = [sys.executable, "-m", "benchmarks.user_totals", "--follow", settings.namespace]
    child = subprocess.Popen(
        [*command, *(["--anew"] if anew else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin
    assert child.stdout
    today = history.day(days, who)
    for rows in (today, both(today, history.day(days, who[: changed // 2]))):
        files = put(settings, iter([rows]), files)
        child.stdin.write("cycle\n")
        child.stdin.flush()
        found.append(json.loads(child.stdout.readline()))
    child.stdin.close()
    child.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, nargs="+", default=[DAYS_FOR_ALL, 400])
    parser.add_argument("--changed", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--anew", action="store_true", help="Compute the changed rows from all days.")
    parser.add_argument("--follow", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.follow:
        follow(arguments.follow, arguments.anew)
        return
    results = {}
    for days in arguments.days:
        settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
        try:
            results[str(days)] = measured(
                settings, arguments.users, days, arguments.changed, arguments.seed, arguments.anew
            )
        finally:
            remove(settings)
        print(f"{days} days: {results[str(days)]}", file=sys.stderr)
    result = {"benchmark": "user_totals", "machine": describe(), "seed": arguments.seed, "users": arguments.users}
    result |= {"changed": arguments.changed, "anew": arguments.anew, "cycles_by_days": results}
    if not arguments.anew:
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
