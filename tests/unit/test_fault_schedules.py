"""A schedule is a pure function of its seed, and survives being written down."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.faults.schedule import Kind, Schedule, one_by_one, plan, targets
from lakehouse.contracts.core import Core

seeds = st.integers(0, 2**63)
lengths = st.floats(5, 600)
some_kinds = st.sets(st.sampled_from(Kind), min_size=1)


@given(seeds, lengths, some_kinds, st.booleans(), st.sampled_from(Core))
def test_the_same_seed_is_the_same_schedule(
    seed: int, seconds: float, kinds: set[Kind], airflow: bool, core: Core
) -> None:
    first = plan(seed, seconds, list(kinds), airflow=airflow, core=core)
    assert first == plan(seed, seconds, sorted(kinds, reverse=True), airflow=airflow, core=core)
    assert first == Schedule.from_dict(json.loads(json.dumps(first.to_dict())))


@given(seeds, lengths, some_kinds, st.booleans(), st.sampled_from(Core))
@example(207_208_783_504_262, 69.875, {Kind.FREEZE}, False, Core.SPARK)
def test_faults_are_of_the_kinds_asked_for_and_hit_what_these_can_hit(
    seed: int, seconds: float, kinds: set[Kind], airflow: bool, core: Core
) -> None:
    faults = plan(seed, seconds, kinds, airflow=airflow, core=core).faults
    assert faults
    for fault in faults:
        assert fault.kind in kinds
        assert fault.target in targets(fault.kind, airflow, core)
        assert 2 <= fault.at <= seconds
        assert (fault.seconds == 0) == (fault.kind is Kind.KILL)


@given(seeds, lengths)
def test_faults_of_one_target_do_not_overlap_and_come_in_order(seed: int, seconds: float) -> None:
    faults = plan(seed, seconds).faults
    assert list(faults) == sorted(faults, key=lambda fault: fault.at)
    ends: dict[str, float] = {}
    for fault in faults:
        assert fault.at > ends.get(fault.target, 0)
        ends[fault.target] = fault.end


EVERY = {(kind, target) for kind in Kind for target in targets(kind, airflow=True)}


def test_every_kind_comes_to_every_target() -> None:
    assert {(f.kind, f.target) for seed in range(1_000) for f in plan(seed, airflow=True).faults} == EVERY


def test_each_core_is_hit_where_its_own_programs_are() -> None:
    hit = {core: {f.target for seed in range(300) for f in plan(seed, core=core).faults} for core in Core}
    assert hit[Core.FOLLOWER] - hit[Core.SPARK] == {"postgres", "job-follower"}
    assert hit[Core.SPARK] - hit[Core.FOLLOWER] == {"valkey", "job-spark_lakehouse", "job-dashboard_writer"}


def test_airflow_is_hit_only_where_it_is_up() -> None:
    assert ("kill", "airflow-scheduler") in EVERY
    assert all(f.target != "airflow-scheduler" for seed in range(1_000) for f in plan(seed).faults)


def test_each_kind_and_target_alone_after_none() -> None:
    first, *others = one_by_one(5, airflow=True)
    assert first.faults == ()
    assert sorted((f.kind, f.target) for schedule in others for f in schedule.faults) == sorted(EVERY)
    assert all(len(schedule.faults) == 1 for schedule in others)
    assert len({schedule.day for schedule in (first, *others)}) == 1 + len(EVERY)


@pytest.mark.parametrize(("kinds", "seconds"), [((), 30), ((Kind.KILL,), 4.9)])
def test_a_schedule_without_a_kind_or_without_time_is_refused(kinds: tuple[Kind, ...], seconds: float) -> None:
    with pytest.raises(ValueError, match="a schedule needs a kind of fault and at least 5 s"):
        plan(1, seconds, kinds)
