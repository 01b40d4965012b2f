"""How fast a generated day reaches Kafka: `python -m benchmarks.produce`. Needs `lakehouse up kafka`.

Each round sends into a namespace of its own, so that broker caches and topic sizes don't favour a later one.
"""

import argparse
import json
import resource
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from infra.local.machine import describe
from lakehouse.generator.render import records
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import offset_range
from lakehouse.kafka.topics import TOPICS
from lakehouse.produce import send_day
from lakehouse.settings import Settings, load_settings

RESULT = Path(__file__).with_name("results") / "produce.json"


def measure(settings: Settings, day: ShopDay, *, judged: bool) -> dict[str, Any]:
    """One round; counts what Kafka holds afterwards, not what was handed over."""
    cpu, began = time.process_time(), time.monotonic()
    send_day(settings, day, judged=judged)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    held = 0
    for topic in ("shop.clicks", "shop.purchases"):
        low, high = offset_range(settings, topic)
        held += sum(high.values()) - sum(low.values())
    return {"judged": judged, "records": held, "seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    day = ShopDay(date(2026, 3, 2), arguments.clicks, arguments.clicks // 100, arguments.seed)
    machine = describe()

    began = time.monotonic()
    generated = sum(map(len, records(day)))
    generating = time.monotonic() - began
    rounds = []
    for number in range(arguments.rounds):
        for judged in (False, True):
            settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}_{number}"})
            try:
                rounds.append(measure(settings, day, judged=judged))
            finally:
                admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
                for future in admin.delete_topics([settings.prefixed(topic) for topic in TOPICS]).values():
                    future.result()
            print(rounds[-1])
            assert rounds[-1]["records"] == generated

    def median(judged: bool, clock: str = "seconds") -> int:
        return round(statistics.median(r["records"] / r[clock] for r in rounds if r["judged"] is judged))

    result = {
        "benchmark": "produce",
        "machine": machine,
        "seed": arguments.seed,
        "clicks": day.clicks,
        "purchases": day.purchases,
        "records": generated,
        "generated_per_second": round(generated / generating),
        "sent_per_second_without_validation": median(False),
        "sent_per_second_with_validation": median(True),
        "sent_per_cpu_second_without_validation": median(False, "cpu_seconds"),
        "sent_per_cpu_second_with_validation": median(True, "cpu_seconds"),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rounds": rounds,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
