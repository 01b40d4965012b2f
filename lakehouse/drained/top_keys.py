"""The key that fills a partition, if one does."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from lakehouse.drained.diagnosis import Place
from lakehouse.drained.positions import Lag
from lakehouse.escaping import escaped
from lakehouse.kafka.consumer import read_partitions
from lakehouse.settings import Settings

SAMPLED: Final = 2_000
"""So many of a partition's last records are looked at."""


def top_keys(settings: Settings, lags: Iterable[Lag]) -> dict[Place, tuple[str, float]]:
    """Of each partition that one of `lags` names, the key that its last records have most, and the share that has it.

    Raises what `read_partitions` raises.
    """
    asked = {(each.topic, each.partition): each for each in lags}
    found: dict[Place, tuple[str, float]] = {}
    for topic in sorted({topic for topic, _ in asked}):
        own = {p: each for (name, p), each in asked.items() if name == topic}
        start = {p: max(each.start, each.end - SAMPLED) for p, each in own.items()}
        counts: dict[int, Counter[bytes | None]] = {}
        for record in read_partitions(settings, topic, start, {p: each.end for p, each in own.items()}):
            counts.setdefault(record.partition, Counter())[record.key] += 1
        for partition, counter in counts.items():
            ((key, count),) = counter.most_common(1)
            # A record's key is whatever somebody sent. Airflow keeps the name in PostgreSQL, which has no U+0000.
            name = "null" if key is None else escaped(key.decode("utf-8", "backslashreplace"))
            found[topic, partition] = name, count / counter.total()
    return found
