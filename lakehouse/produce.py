"""The two sources of events, sent: generated days and CSV files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from lakehouse.csv_events import CsvMapping, read_csv
from lakehouse.generator.render import CHUNK, records
from lakehouse.generator.traffic import ShopDay
from lakehouse.input_files import spoken
from lakehouse.kafka.feed import Fed, feed
from lakehouse.kafka.sender import Outgoing
from lakehouse.kafka.topics import create_topics
from lakehouse.settings import Settings


def send_day(
    settings: Settings,
    day: ShopDay,
    *,
    judged: bool = True,
    unsafe: bool = False,
    rate: float | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Fed:
    """Send a generated day; see `feed` for the arguments. The same day again is the same events: duplicates."""
    create_topics(settings)
    return feed(settings, records(day), judged=judged, unsafe=unsafe, rate=rate, on_progress=on_progress)


def send_csv(
    settings: Settings,
    path: Path,
    mapping: CsvMapping,
    *,
    judged: bool = True,
    unsafe: bool = False,
    rate: float | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Fed:
    """Send the rows of a CSV file; see `feed` for the arguments and `read_csv` for the errors."""
    create_topics(settings)
    lines: list[int] = []

    def batches() -> Iterator[list[Outgoing]]:
        batch: list[Outgoing] = []
        for line, record in read_csv(path, mapping):
            lines.append(line)
            batch.append(record)
            if len(batch) == CHUNK:
                yield batch
                batch = []
        yield batch

    return feed(
        settings,
        batches(),
        judged=judged,
        unsafe=unsafe,
        rate=rate,
        labels=lambda number: f"{spoken(path)}, line {lines[number - 1]}",
        on_progress=on_progress,
    )
