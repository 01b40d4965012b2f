"""Outcomes are recorded a line each and summed up by kind and target."""

from datetime import date
from pathlib import Path

from experiments.faults.outcome import Injected, KindSummary, Outcome, Verdict, record, recorded, summarise
from experiments.faults.schedule import Fault, Kind, Schedule

KAFKA = Fault(1.0, Kind.KILL, "kafka")
STORE = Fault(2.0, Kind.CUT, "minio", 3.0)


def outcome(verdict: Verdict, drained: float | None, *faults: Injected) -> Outcome:
    schedule = Schedule(7, date(2001, 1, 8), 30.0, tuple(each.fault for each in faults))
    return Outcome(schedule, "2026-03-02T00:00:00+00:00", verdict, faults, 100, 300, "0 lost", 60.0, drained)


def test_outcomes_come_back_as_they_were_recorded_with_their_schedules(tmp_path: Path) -> None:
    made = outcome(Verdict.EXACT, 12.5, Injected(KAFKA, True, 4.0), Injected(STORE, True, None))
    record(made, tmp_path / "results" / "faults.jsonl")
    record(made, tmp_path / "results" / "faults.jsonl")
    first, second = recorded(tmp_path / "results" / "faults.jsonl")
    assert first == second == made.to_dict()
    assert Schedule.from_dict(first["schedule"]) == made.schedule


def test_a_summary_tells_faults_alone_from_several_and_from_none() -> None:
    total = summarise(
        each.to_dict()
        for each in (
            outcome(Verdict.EXACT, 10.0, Injected(KAFKA, True, 4.0)),
            outcome(Verdict.EXACT, 20.0, Injected(KAFKA, True, 6.0)),
            outcome(Verdict.DIFFERS, 50.0, Injected(KAFKA, True, 8.0), Injected(STORE, True, None)),
            outcome(Verdict.STUCK, None, Injected(KAFKA, False, None)),
            outcome(Verdict.EXACT, 5.0),
        )
    )
    assert (total.schedules, total.records, total.rows_compared) == (5, 500, 1500)
    assert total.verdicts == {"exact": 3, "differs": 1, "stuck": 1}
    assert total.drained_seconds == (50.0, 50.0)
    assert total.undisturbed_seconds == (5.0, 5.0)
    assert total.kinds == (
        KindSummary("cut", "minio", 1, None, None),
        KindSummary("kill", "kafka", 3, (6.0, 8.0), (15.0, 20.0)),
    )
