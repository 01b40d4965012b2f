"""The numbers of the rules as properties, for Java: ``python -m lakehouse.semantics.export FILE``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from lakehouse.semantics.metrics import ROOMS


def numbers() -> Iterator[str]:
    """A line for each whole number of each metric's rule: ``sessions.gap_ms=1800000``."""
    for room in ROOMS.values():
        for name, value in (room.rule.numbers() if room.rule else {}).items():
            if isinstance(value, int):
                yield f"{room.folder.name}.{name}={value}"


def main() -> None:
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(numbers()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
