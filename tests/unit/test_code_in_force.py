"""Versions of the code: named by git, taken out of the checkout's repository, refused where that can't be right."""

import subprocess
from pathlib import Path

import pytest

from lakehouse.runtime import code_in_force
from lakehouse.runtime.code_in_force import CodeError, code_version, in_force, place, provide, put_in_force
from lakehouse.settings import Settings


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True, capture_output=True)


def commit(root: Path, name: str, text: str) -> str:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "-m", name)
    return code_version(root)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init")
    commit(root, "requirements/main.txt", "polars==1")
    monkeypatch.setattr(code_in_force, "ROOT", root)
    monkeypatch.setattr(code_version, "__defaults__", (root,))
    return root


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_a_commit_that_changes_no_job_makes_no_version(checkout: Path) -> None:
    first = commit(checkout, "jobs/rule.py", "1")
    assert commit(checkout, "docs/replay.md", "what a replay is") == first
    assert commit(checkout, "jobs/rule.py", "2") != first


def test_a_version_before_is_taken_out_of_the_repository_and_the_job_starts_from_it(
    checkout: Path, settings: Settings
) -> None:
    first = commit(checkout, "jobs/rule.py", "1")
    second = commit(checkout, "jobs/rule.py", "2")
    (checkout / ".env").write_text("LAKEHOUSE_RETENTION=1")
    assert place(settings, "a_job").resolve() == checkout
    assert provide(settings, second) == checkout

    before = provide(settings, first)
    put_in_force(settings, "a_job", before)
    assert (place(settings, "a_job") / "jobs" / "rule.py").read_text() == "1"
    assert (place(settings, "a_job") / ".env").read_text() == "LAKEHOUSE_RETENTION=1"
    assert code_version(before) == in_force(settings, "a_job") == first
    assert provide(settings, first) == before
    assert in_force(settings, "another") is None

    put_in_force(settings, "a_job", checkout)
    assert in_force(settings, "a_job") is None


def test_code_in_no_commit_is_refused_with_what_to_do(checkout: Path, settings: Settings) -> None:
    first = commit(checkout, "jobs/rule.py", "1")
    (checkout / "jobs" / "rule.py").write_text("changed")
    changed = code_version()
    assert changed == first + "+changed"
    commit(checkout, "jobs/rule.py", "2")
    for version in (changed, "0123456789ab", "0.1.0"):
        with pytest.raises(CodeError, match=r"install code .* trigger `upgrade`"):
            provide(settings, version)
    assert list((settings.home / "code").glob("versions/*")) == []


def test_code_that_was_made_for_other_packages_is_refused(checkout: Path, settings: Settings) -> None:
    first = commit(checkout, "jobs/rule.py", "1")
    commit(checkout, "requirements/main.txt", "polars==2")
    commit(checkout, "jobs/rule.py", "2")
    with pytest.raises(CodeError, match="other packages"):
        provide(settings, first)


def test_a_mere_copy_has_the_package_s_version_or_none(tmp_path: Path) -> None:
    assert code_version(tmp_path) in {"unknown", "0.1.0"}
    assert code_in_force.in_force(Settings(home=tmp_path / "home"), "a_job") is None
