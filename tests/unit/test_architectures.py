"""The comparison's arithmetic and its page, on literal measurements."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.architectures import code, report
from experiments.architectures.meter import Stored, Usage
from experiments.architectures.result import Compared, Correction, Freshness, Late, Live, Result
from experiments.architectures.run import covers
from experiments.architectures.scale import correction_cpu, live_cpu, reckon
from lakehouse.settings import ROOT


def usage(cpu: float, memory: int = 100, seconds: float = 10.0) -> Usage:
    return Usage(seconds, cpu, memory, 1_000, 500)


def live(architecture: str, **cpu: float) -> Live:
    used = {name: usage(seconds) for name, seconds in cpu.items()}
    fresh = Freshness(1_000, 5.0, 11.0, 12.0, [(0.0, 4.0), (1.0, 12.0)])
    return Live(architecture, 1_000, used, {"kafka": usage(1.0)}, Stored(7, 7_000), fresh)


@pytest.fixture
def result() -> Result:
    machine = {"processor": "a processor", "cores": 2, "memory_gib": 8.0, "load_before": 0.1}
    equal = Compared("live 1", "lambda", "silver.sessions", "kappa", 40, 0, 0, 0, True)
    return Result(
        "Compared",
        "2026-03-01T00:00:00+00:00",
        {"seed": "7"},
        machine,
        [equal],
        [live("kappa", stream=2.0), live("lambda", ingest=1.0, speed=0.5, batch=4.0), live("kappa", stream=4.0)],
        [Correction("kappa", 30, 2_000, usage(6.0)), Correction("lambda", 30, 2_000, usage(4.0))],
        Late(900, 10, 5, 20),
        500.0,
    )


def test_processes_beside_each_other_add_their_memory_and_ones_after_each_other_do_not() -> None:
    assert usage(1, 100, 5).beside(usage(2, 50, 9)) == Usage(9, 3, 150, 2_000, 1_000)
    assert usage(1, 100, 5) + usage(2, 50, 9) == Usage(14, 3, 100, 2_000, 1_000)


def test_unit_costs_are_medians_by_record(result: Result) -> None:
    assert live_cpu(result, "kappa") == pytest.approx(0.003)
    assert live_cpu(result, "lambda", without=("batch",)) == pytest.approx(0.0015)
    assert correction_cpu(result, "kappa") == pytest.approx(0.003)


def test_the_case_is_reckoned_in_proportion(result: Result) -> None:
    lines = {line.what: line.value for line in reckon(result)}
    assert lines["records of the history"] == pytest.approx(50e12 / 500)
    assert lines["kappa: cores for what flows"] == pytest.approx(300)
    assert lines["lambda: cores for a batch run over all, every 1 h"] == pytest.approx(1e11 * 0.002 / 3600)
    assert lines["kappa: the whole history once, on 1,000 cores"] == pytest.approx(1e11 * 0.003 / 1_000 / 3600)
    assert reckon(replace(result, corrections=[])) == []


def test_the_page_says_what_was_found_and_json_has_it_all(result: Result, tmp_path: Path) -> None:
    page = report.write(result, tmp_path).read_text()
    assert "Equal, row for row" in page
    assert "Freshness over time" in page
    assert "50 TB / 500 bytes a record in bronze" in page
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["ok"]
    assert stored["code"]["lines"]["lambda"] > 100
    wrong = Compared("live 1", "lambda", "silver.sessions", "kappa", 40, 1, 0, 0, False)
    assert "Not equal" in report.render(replace(result, equality=[wrong]))
    assert "Not equal" in report.render(replace(result, equality=[]))


def test_the_page_of_a_log_that_lambda_alone_was_measured_on_leaves_out_what_was_not(result: Result) -> None:
    alone = replace(result, live=[replace(live("lambda", batch=4.0), freshness=None)], corrections=[], late=None)
    page = report.render(alone)
    assert "CPU by process" in page
    assert "Freshness over time" not in page
    assert "50 TB" not in page


def test_the_listed_files_of_code_exist() -> None:
    listed = {*code.SHARED, *(file for files in code.FILES.values() for file in files)}
    places = {file for of in code.PLACES.values() for files in of.values() for file in files}
    assert all((ROOT / file).is_file() for file in listed | places)
    assert places <= listed


def test_a_partition_that_nothing_was_read_of_is_not_covered() -> None:
    assert covers({"t": {0: 5}}, {"t": {0: 5, 1: 0}})
    assert not covers({"t": {0: 5}}, {"t": {0: 5, 1: 1}})
    assert not covers({}, {"t": {0: 1}})
