"""Several writers of one Delta log on MinIO: each version has one winner; no acknowledged commit is lost or doubled."""

from collections import Counter

import pytest

from lakehouse.delta import append_ops, create_table
from tests.integration.tables.log_files import log_file
from tests.integration.tables.log_store_race import PART_BYTES
from tests.integration.tables.lost_answers import LosingProxy
from tests.integration.tables.many_writers import Logged, append_together, flinks, names
from tests.integration.tables.writer_process import Writer, ready
from tests.integration.tables.writing import COUNTERS, NAME, acknowledged, row
from tests.lake import stored

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

THREADS = 4


@pytest.mark.parametrize(("versions", "size"), [(100, 0), (5, PART_BYTES)], ids=["one put", "in parts"])
def test_of_the_writers_of_a_version_exactly_one_wins(lake, versions, size):
    """Two processes of four threads: the threads meet in one S3 client, the processes only at the store."""
    folder = f"{lake.namespace}/race"
    racing = [Writer("tables.log_store_race", name, folder, THREADS, size) for name in ("one", "two")]
    with ready(*racing):
        for version in range(versions):
            for writer in racing:
                writer.tell(version)
            (winner,) = [thread for writer in racing for thread in writer.answer()]
            written = log_file(lake, f"{folder}/_delta_log/{version:020}.json").decode()
            assert written == f"{winner}\n{'x' * size}\n"


def test_spark_recognises_its_commit_whose_answer_was_lost(lake, tmp_path):
    create_table(lake, NAME)
    journal = tmp_path / "journal.jsonl"
    with LosingProxy((lake.host, lake.minio_port), "/_delta_log/00000000000000000002.json") as proxy:
        writer = Writer("tables.spark_writer", lake.namespace, "spark", journal, "append", port=proxy.port)
        with ready(writer):
            writer.tell("3 commits")
            assert writer.finish() == ""
    assert proxy.count == 1
    commits = [("spark-0", 1), ("spark-1", 2), ("spark-2", 3)]
    assert Logged.read(lake, NAME).commits == commits
    assert [(entry.run_id, entry.rows) for entry in acknowledged(journal)] == commits


def test_writers_of_several_engines_lose_no_commit_and_double_none(stack, lake, tmp_path, pytestconfig):
    """Each writer's journal says what it was told is committed: that is in the log, once, and nothing else is."""
    stack.ensure("flink")
    outcome = append_together(lake, pytestconfig.getoption("writing_seconds"), tmp_path)
    print(outcome)
    assert outcome.failed == {}
    assert (outcome.lost, outcome.doubled, outcome.unknown, outcome.holes) == ((), (), (), ())
    assert outcome.rows_stored == outcome.rows_acknowledged
    assert set(outcome.acknowledged) == {*names(), *flinks()}
    assert all(outcome.acknowledged.values())


def test_counters_that_several_merge_into_hold_the_sum(lake, tmp_path):
    """All MERGEs rewrite one file, so that of those that read one version one wins; the others compute anew."""
    append_ops(lake, NAME, [row(key, 0) for key in COUNTERS])
    commits = {"spark-0": 3, "spark-1": 3, "delta-rs-0": 10, "delta-rs-1": 10}
    journals = {name: tmp_path / f"{name}.jsonl" for name in commits}
    writers = {
        name: Writer(f"tables.{name[:-2].replace('-', '_')}_writer", lake.namespace, name, journal, "count")
        for name, journal in journals.items()
    }
    with ready(*writers.values()):
        for name, writer in writers.items():
            writer.tell(f"{commits[name]} commits")
        assert {name: writer.finish() for name, writer in writers.items()} == dict.fromkeys(writers, "")
    told = {name: acknowledged(journal) for name, journal in journals.items()}
    print({name: (len(merges), sum(m.conflicts for m in merges)) for name, merges in told.items()})
    counted = Counter(merge.run_id for merges in told.values() for merge in merges)
    assert {name: len(merges) for name, merges in told.items()} == commits
    assert dict(stored(lake, NAME).select("run_id", "rows_checked").iter_rows()) == counted
    assert sum(merge.conflicts for merges in told.values() for merge in merges) > 0
