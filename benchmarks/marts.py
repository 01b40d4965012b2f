"""How fast each engine computes a day's marts, and expectations are counted: `python -m benchmarks.marts`.

Needs `lakehouse up minio`. Every measurement runs in a process of its own, whose peak memory is its own too; it
includes opening the tables and reading them from MinIO.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.lake import DAY, write_day
from infra.local.machine import describe
from lakehouse.object_store import remove_all
from lakehouse.settings import Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "marts.json"
MEASURED: Final = {
    ("marts.product_daily", "polars"): ("gold.product_metrics_5m", "silver.products"),
    ("marts.product_daily", "datafusion"): ("gold.product_metrics_5m", "silver.products"),
    ("marts.region_daily", "polars"): ("silver.clicks", "silver.purchases"),
    ("marts.region_daily", "datafusion"): ("silver.clicks", "silver.purchases"),
    ("marts.session_funnel", "polars"): ("silver.sessions", "silver.purchases"),
    ("marts.session_funnel", "datafusion"): ("silver.sessions", "silver.purchases"),
    ("quality", "silver.clicks"): ("silver.clicks",),
    ("quality", "gold.product_metrics_5m"): ("gold.product_metrics_5m",),
}
"""What is measured, by what, and the tables whose rows it reads."""


def measure_here(settings: Settings, what: str, by: str) -> dict[str, float]:
    """One measurement in this process: seconds, and memory before and at the peak."""
    from jobs.rust_engines import MARTS
    from jobs.rust_engines.sources import Sources
    from lakehouse.contracts.tables import table
    from quality.counting import count

    before = peak_memory_mib()
    began, cpu = time.perf_counter(), time.process_time()
    if what == "quality":
        counts = count(settings, table(by), DAY)
        assert not any(counts.broken.values()), counts.broken
    else:
        mart = MARTS[what]
        assert mart.compute(by, Sources.pin(settings, mart.reads), DAY).height  # type: ignore[arg-type]
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "memory_before_mib": before,
        "peak_memory_mib": peak_memory_mib(),
    }


def peak_memory_mib() -> int:
    """Of this process since it began; `getrusage` would count its parent's before the `exec` too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def measure(namespace: str, what: str, by: str) -> dict[str, float]:
    """As `measure_here`, in a new process."""
    command = [sys.executable, "-m", "benchmarks.marts", "--one", namespace, what, by]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def summary(rows: dict[str, int], rounds: list[dict[str, float]], reads: tuple[str, ...]) -> dict[str, Any]:
    read = sum(rows[name] for name in reads)
    seconds, cpu = (statistics.median(r[clock] for r in rounds) for clock in ("seconds", "cpu_seconds"))
    return {
        "rows_read": read,
        "seconds": round(seconds, 3),
        "rows_per_second": round(read / seconds),
        "rows_per_cpu_second": round(read / cpu),
        "peak_memory_mib": max(r["peak_memory_mib"] for r in rounds),
        "memory_before_mib": max(r["memory_before_mib"] for r in rounds),
        "rounds": [round(r["seconds"], 3) for r in rounds],
    }


def remove(settings: Settings) -> None:
    remove_all(settings, f"s3://{settings.bucket}/{settings.namespace}/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        namespace, what, by = arguments.one
        print(json.dumps(measure_here(load_settings().model_copy(update={"namespace": namespace}), what, by)))
        return
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    machine = describe()
    try:
        rows = write_day(settings, arguments.clicks, arguments.seed)
        measured = {}
        for (what, by), reads in MEASURED.items():
            rounds = [measure(settings.namespace, what, by) for _ in range(arguments.rounds)]
            measured[f"{what} by {by}" if what != "quality" else f"expectations of {by}"] = summary(rows, rounds, reads)
    finally:
        remove(settings)
    result = {"benchmark": "marts", "machine": machine, "seed": arguments.seed, "rows": rows, "measured": measured}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
