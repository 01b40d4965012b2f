"""delta-rs, as a process of its own, writing a table that others write too.

``python -m tests.integration.tables.delta_rs_writer NAMESPACE NAME JOURNAL append|count``; see `writing`.
"""

import sys
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable

from lakehouse.delta import CommitRefusedError, Once, append_ops
from lakehouse.delta.write import commit_once
from lakehouse.settings import Settings, load_settings
from tests.integration.tables.writing import COUNTERS, NAME, Acknowledged, rows, write_on_demand


def append(settings: Settings, name: str, number: int) -> Acknowledged:
    run, refused = f"{name}-{number}", 0
    added = rows(run, number)
    while True:
        try:
            append_ops(settings, NAME, added, Once(name, number))
            return Acknowledged(run, len(added), refused)
        except CommitRefusedError:
            refused += 1


def count(settings: Settings, name: str, number: int) -> Acknowledged:
    key, attempts = COUNTERS[number % len(COUNTERS)], 0

    def merge(opened: DeltaTable, properties: CommitProperties) -> None:
        nonlocal attempts
        attempts += 1
        source = pl.DataFrame({"run_id": [key]})
        merging = opened.merge(source, "t.run_id = s.run_id", "s", "t", commit_properties=properties)
        merging.when_matched_update({"rows_checked": "t.rows_checked + 1"}).execute()

    while True:
        try:
            commit_once(settings, NAME, Once(name, number), merge)
            return Acknowledged(key, 1, attempts - 1)
        except CommitRefusedError:
            continue


def main(namespace: str, name: str, journal: str, work: str) -> None:
    settings = load_settings().model_copy(update={"namespace": namespace})
    write = {"append": append, "count": count}[work]
    write_on_demand(Path(journal), lambda number: write(settings, name, number))


if __name__ == "__main__":
    main(*sys.argv[1:])
