"""The event contracts as JSON, for the Java validator: ``python -m lakehouse.contracts.export FILE``."""

import json
import sys
from pathlib import Path
from typing import Any

from lakehouse.contracts import events


def contracts() -> dict[str, Any]:
    """Limits and contracts, by topic, in the shape that `io.kappalakehouse.validator.Contracts` reads."""
    return {
        "max_value_bytes": events.MAX_VALUE_BYTES,
        "max_id_bytes": events.MAX_ID_BYTES,
        "max_depth": events.MAX_DEPTH,
        "max_clock_skew_ms": events.MAX_CLOCK_SKEW_MS,
        "earliest_time": events.EARLIEST_TIME,
        "latest_time": events.LATEST_TIME,
        "topics": [
            {
                "topic": contract.topic,
                "key": contract.key,
                "fields": [
                    {
                        "name": field.name,
                        "kind": field.kind.value,
                        "nullable": field.nullable,
                        "allowed": list(field.allowed),
                        "minimum": field.minimum,
                        "maximum": field.maximum,
                        "not_after_arrival": events.bounded_by_arrival(field),
                    }
                    for field in contract.fields
                ],
            }
            for contract in events.EVENTS.values()
        ],
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(contracts(), indent=2) + "\n", encoding="utf-8")
