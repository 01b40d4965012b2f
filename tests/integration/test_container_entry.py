"""What a container of ours starts, started without a container."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.programs import job_programs
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import ROOT, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Settings(_env_file=None)  # type: ignore[call-arg]


def _entry(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "infra.docker.serve", name], cwd=ROOT)


@pytest.fixture
def jobs(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = _entry("jobs")
    yield process
    process.terminate()
    assert process.wait(15) == 0


def test_jobs_becomes_the_supervisor_of_the_jobs_and_starts_none(
    settings: Settings, jobs: subprocess.Popen[bytes]
) -> None:
    supervisor = Supervisor(settings)
    deadline = time.monotonic() + 20
    while not supervisor.alive():
        assert jobs.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert supervisor.supervisor_pid() == jobs.pid
    states = supervisor.programs()
    assert set(states) == {program.name for program in job_programs(settings)}
    assert not any(state.running for state in states.values())


def test_credentials_are_generated_once_for_their_owner_alone(settings: Settings) -> None:
    assert _entry("credentials").wait(20) == 0
    file = settings.credentials_file
    first = file.read_text()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert "LAKEHOUSE_POSTGRES_PASSWORD=" in first
    assert _entry("credentials").wait(20) == 0
    assert file.read_text() == first
