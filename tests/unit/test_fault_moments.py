"""The moment between a commit and its acknowledgement is told from what a driver that is gone has left."""

import json
from pathlib import Path

from experiments.faults.moments import SparkUnacknowledged
from jobs.streaming.spark.progress import journal_path
from lakehouse.settings import Settings


def test_a_batch_counts_from_its_commit_to_its_end_and_not_when_it_was_open_before(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    path = journal_path(settings)
    path.parent.mkdir(parents=True)

    def write(event: str, step: str = "", batch: int = 7) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"batch_id": batch, "event": event, "step": step}) + "\n")

    write("begin")
    write("step", "silver")
    moment = SparkUnacknowledged(settings)
    assert not moment.now()
    write("begin")
    write("step", "bronze")
    assert not moment.now()
    write("step", "silver")
    assert moment.now()
    write("step", "refresh")
    assert moment.now()
    write("end")
    assert not moment.now()
