"""Writers of several engines append to one table at once; what they were told is compared with the log.

``python -m tests.integration.tables.many_writers --seconds 60 --log-store default`` shows, on the MinIO of
``lakehouse up minio``, what goes wrong with Delta's own way of creating a commit file.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from lakehouse.delta import create_table, open_table
from lakehouse.delta.describe import extent
from lakehouse.settings import Settings, load_settings
from tests.integration.tables.flink_writers import append_by_flink
from tests.integration.tables.log_files import log_actions, log_transactions, log_versions
from tests.integration.tables.writer_process import Writer, ready
from tests.integration.tables.writing import NAME, Acknowledged, acknowledged

DELTA_S_OWN = "io.delta.storage.S3SingleDriverLogStore"
"""What Delta takes for S3 unless told otherwise: right as long as one process writes a table."""
SPARKS = DELTA_RS = 3
FLINKS = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the commits. `lost`: acknowledged, and not in the log; `unknown`: the other way round."""

    acknowledged: dict[str, int]
    """By writer."""
    conflicts: int
    commits: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    unknown: tuple[str, ...]
    holes: tuple[int, ...]
    """Versions below the newest that have no file."""
    rows_acknowledged: int
    rows_stored: int
    failed: dict[str, str]
    """Writers that ended with an error, and which."""

    @property
    def sound(self) -> bool:
        return not (self.lost or self.doubled or self.unknown or self.holes or self.failed) and (
            self.rows_acknowledged == self.rows_stored
        )


@dataclass(frozen=True, slots=True)
class Logged:
    """What the commits of a Delta log add: by version, how many rows of each `run_id`."""

    versions: dict[int, Counter[str]]

    @classmethod
    def read(cls, settings: Settings, name: str) -> "Logged":
        """From the commit files themselves, by no Delta library. A file holds rows of one `run_id`."""
        found: dict[int, Counter[str]] = {}
        for version in log_versions(settings, name):
            added: Counter[str] = Counter()
            for action in log_actions(settings, name, version):
                if add := action.get("add"):
                    statistics = json.loads(add["stats"])
                    added[statistics["minValues"]["run_id"]] += statistics["numRecords"]
            found[version] = added
        return cls(found)

    @property
    def holes(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(max(self.versions))) - set(self.versions)))

    @property
    def commits(self) -> list[tuple[str, int]]:
        """The `run_id` and the rows of each commit that added any; one that mixes several is several."""
        return self.commits_but(())

    def commits_but(self, names: Collection[str]) -> list[tuple[str, int]]:
        """As `commits`, without those of these `run_id`."""
        return [commit for added in self.versions.values() for commit in added.items() if commit[0] not in names]

    def rows_of(self, names: Collection[str]) -> Counter[str]:
        """All rows of these `run_id`, over all commits."""
        summed = sum(self.versions.values(), Counter())
        return Counter({name: summed[name] for name in names if summed[name]})


def append_together(
    settings: Settings, seconds: int, journals: Path, log_store: str | None = None, flink: bool = True
) -> Outcome:
    """Lets three Sparks, three delta-rs processes and two Flink jobs append to `NAME` for so long, as fast as each can;
    a Flink job commits once per checkpoint."""
    create_table(settings, NAME)
    files = {name: journals / f"{name}.jsonl" for name in names()}
    chosen = [log_store] if log_store else []
    writers = {
        name: Writer("tables.spark_writer", settings.namespace, name, file, "append", *chosen)
        if name.startswith("spark")
        else Writer("tables.delta_rs_writer", settings.namespace, name, file, "append")
        for name, file in files.items()
    }
    with ready(*writers.values()), ThreadPoolExecutor(FLINKS) as pool:
        for writer in writers.values():
            writer.tell(f"{seconds} seconds")
        jobs = list(pool.map(lambda name: append_by_flink(settings, name, seconds), flinks() if flink else ()))
        failed = {name: complaint for name, writer in writers.items() if (complaint := writer.finish(seconds + 300))}
    told = {name: acknowledged(journal) for name, journal in files.items()} | {job.run_id: [job] for job in jobs}
    return judge(settings, told, failed)


def names() -> list[str]:
    return [*(f"spark-{n}" for n in range(SPARKS)), *(f"delta-rs-{n}" for n in range(DELTA_RS))]


def flinks() -> list[str]:
    return [f"flink-{n}" for n in range(FLINKS)]


def judge(settings: Settings, told: dict[str, list[Acknowledged]], failed: dict[str, str]) -> Outcome:
    expected = Counter((entry.run_id, entry.rows) for entries in told.values() for entry in entries)
    logged = Logged.read(settings, NAME)
    found = Counter(logged.commits_but(flinks()) + list(logged.rows_of(flinks()).items()))
    transactions = Counter(log_transactions(settings, NAME))
    return Outcome(
        acknowledged={name: len(entries) for name, entries in told.items()},
        conflicts=sum(entry.conflicts for entries in told.values() for entry in entries),
        commits=len(logged.versions),
        lost=_names(expected - found),
        doubled=tuple(sorted(str(each) for counted in (found, transactions) for each, n in counted.items() if n > 1)),
        unknown=_names(Counter(found.keys()) - expected),
        holes=logged.holes,
        rows_acknowledged=sum(entry.rows for entries in told.values() for entry in entries),
        rows_stored=extent(open_table(settings, NAME)).rows or 0,
        failed=failed,
    )


def _names(commits: Counter[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(sorted(run for run, _ in commits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--log-store", choices=("ours", "default"), default="ours")
    arguments = parser.parse_args()
    settings = load_settings().model_copy(update={"namespace": f"writers_{time.time_ns():x}"})
    store = DELTA_S_OWN if arguments.log_store == "default" else None
    with tempfile.TemporaryDirectory() as journals:
        outcome = append_together(settings, arguments.seconds, Path(journals), store, flink=False)
    counted = {key: len(value) if isinstance(value, tuple) else value for key, value in asdict(outcome).items()}
    print(json.dumps(counted | {"sound": outcome.sound}, indent=2))


if __name__ == "__main__":
    main()
