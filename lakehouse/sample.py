"""The real shop click-stream that the demo begins with: 31,106 events of 600 users, sorted by user."""

from pathlib import Path

from lakehouse.csv_events import CsvMapping
from lakehouse.settings import Settings

MAPPING = CsvMapping(
    topic="shop.clicks",
    columns={"user_id": "user_id", "event_time": "timestamp", "page": "event"},
    # The file knows neither products nor places; every row is a visitor's doing.
    constants={"action": "click", "region": "unknown"},
)


class SampleMissingError(FileNotFoundError):
    """The package that ships the sample isn't installed."""


def demo_sample(settings: Settings) -> tuple[Path, CsvMapping]:
    """Where the sample lies and how to read it.

    Raises:
        SampleMissingError: it isn't installed; the message says how to.
    """
    path = settings.cache / "data" / "retentioneering" / "datasets" / "ecom.csv.gz"
    if not path.exists():
        raise SampleMissingError(
            f"{path} is missing; install it with: uv pip install --no-deps --target {settings.cache / 'data'} "
            "--require-hashes -r requirements/data.txt"
        )
    return path, MAPPING
