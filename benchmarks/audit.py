"""How long the ledger takes per million records: `python -m benchmarks.audit`.

Needs `lakehouse up kafka minio`. A generated day is sent to Kafka on a tenant of its own, the tables are filled with
what the reference makes of it; then it is audited twice, each time in a process of its own: the first audit reads all
of Kafka and all raw values, the second finds nothing new and adds the tables up.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from benchmarks.marts import peak_memory_mib, remove
from infra.local.machine import describe
from lakehouse.compare.reference import Reference
from lakehouse.contracts.tables import BRONZE, table
from lakehouse.delta import Once, append
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.semantics.reference import METRICS
from lakehouse.settings import Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "audit.json"
DAY: Final = date(2024, 3, 1)


def write_lake(settings: Settings, clicks: int, seed: int) -> dict[str, int]:
    """Sends the day and writes every table but the marts; returns the rows of each."""
    create_topics(settings)
    day = ShopDay(DAY, clicks, max(1, clicks // 100), seed, duplicates=0.02, broken=0.002)
    send_day(settings, day, judged=False, unsafe=True)
    reference = Reference.read(settings, kafka_ends(settings))
    rows: dict[str, int] = {}
    for name, content in _content(reference):
        append(settings, name, content, Once.new("bench"))
        rows[name] = rows.get(name, 0) + content.num_rows
    return rows


def _content(reference: Reference) -> Iterator[tuple[str, pa.Table]]:
    for name in BRONZE:
        for partition in reference.partitions:
            yield name, to_arrow(name, reference.stored(name, partition))
    for name in METRICS:
        if table(name).layer != "marts":
            filled = reference.frame(name).with_columns(pl.lit("benchmark").alias(c) for c in table(name).not_compared)
            yield name, to_arrow(name, filled)


def audit_here(settings: Settings) -> dict[str, Any]:
    """One audit in this process."""
    from lakehouse.ledger import audit

    before, cpu = peak_memory_mib(), time.process_time()
    result = audit(settings, live=False)
    assert result.clean, result.findings
    records = sum(result.records.values())
    return {
        "records": records,
        "read_from_kafka": result.read,
        "seconds": round(result.seconds, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "seconds_per_million": round(result.seconds / records * 1e6, 2),
        "cpu_seconds_per_million": round((time.process_time() - cpu) / records * 1e6, 2),
        "seconds_by_step": {name: round(spent, 2) for name, spent in result.seconds_by_step.items()},
        "memory_before_mib": before,
        "peak_memory_mib": peak_memory_mib(),
    }


def run_audit(namespace: str) -> dict[str, Any]:
    """As `audit_here`, in a new process."""
    command = [sys.executable, "-m", "benchmarks.audit", "--one", namespace]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(audit_here(load_settings().model_copy(update={"namespace": arguments.one}))))
        return
    settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
    machine = describe()
    try:
        rows = write_lake(settings, arguments.clicks, arguments.seed)
        measured = {"first": run_audit(settings.namespace), "nothing new": run_audit(settings.namespace)}
    finally:
        remove(settings)
    result = {"benchmark": "audit", "machine": machine, "seed": arguments.seed, "rows": rows, "measured": measured}
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
