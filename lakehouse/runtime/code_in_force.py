"""Which version of the code a job runs: the installed one, or another that a replay or its undo has put in force.

A job that is a process starts from ``code/JOB`` in the installation's home. That is a link: to the checkout, or to a
clone of it at another version, in ``code/versions``. What lies behind the link is read when the job starts.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from lakehouse.runtime.wanted import connection, migrate
from lakehouse.settings import ROOT, Settings

VERSIONED: Final = ("jobs", "lakehouse")
"""What a job is made of: a commit that changes none of it makes no version."""
CHANGED: Final = "+changed"
"""Ends the version of a checkout with changes that are in no commit."""


class CodeError(RuntimeError):
    """A version of the code can't be put in force; the message says why, and what to do."""


def code_version(root: Path = ROOT) -> str:
    """Names the code at `root`: by the last commit that changed what jobs are made of; where there is no repository, by
    the package's version; of a mere copy, nobody knows."""
    if commit := _git(root, "log", "-1", "--format=%H", "--", *VERSIONED)[:12]:
        return commit + (CHANGED if _git(root, "status", "--porcelain", "--", *VERSIONED) else "")
    try:
        return package_version("kappa-lakehouse")
    except PackageNotFoundError:
        return "unknown"


def place(settings: Settings, job: str) -> Path:
    """From where `job` starts: a link, made to lead to the checkout unless it leads to a version in force."""
    if in_force(settings, job) is None:
        _point(_link(settings, job), ROOT)
    return _link(settings, job)


def in_force(settings: Settings, job: str) -> str | None:
    """The version other than the installed one from which `job` starts; None without one."""
    leads_to = _link(settings, job).resolve()
    return leads_to.name if leads_to.parent == _versions(settings) and leads_to.exists() else None


def provide(settings: Settings, version: str) -> Path:
    """Where `version` lies: the checkout, or a clone of it, which is made if need be.

    Raises CodeError: the repository doesn't have it, or it needs other packages than are installed.
    """
    if version == code_version():
        return ROOT
    kept = _versions(settings) / version
    if kept.exists():
        return kept
    by_hand = f"install code {version} (`git checkout`, `make install`), trigger `upgrade`, and try again"
    if version.endswith(CHANGED) or not _git(ROOT, "rev-parse", "--verify", "--quiet", f"{version}^{{commit}}"):
        raise CodeError(f"code {version} is in no commit of {ROOT}: {by_hand}")
    if _git(ROOT, "diff", "--name-only", version, "--", "requirements"):
        raise CodeError(f"code {version} was made for other packages than are installed: {by_hand}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(dir=kept.parent, prefix="."))
    try:
        for words in (["clone", "--shared", "--no-checkout", ROOT, fresh], ["-C", fresh, "checkout", version]):
            done = subprocess.run(["git", *map(str, words)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise CodeError(f"code {version} can't be taken from {ROOT} ({done.stderr.strip()}): {by_hand}")
        if (ROOT / ".env").exists():
            (fresh / ".env").symlink_to(ROOT / ".env")
        with suppress(OSError):  # somebody else was as quick
            fresh.rename(kept)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return kept


def put_in_force(settings: Settings, job: str, path: Path) -> None:
    """Lets `job` start from the code at `path`, which `provide` has named, when it starts next."""
    _point(_link(settings, job), path)


def note_running(settings: Settings, job: str) -> str:
    """Writes down, and returns, which code this process, which is `job`, has just started with. Raises
    ServiceDownError."""
    migrate(settings)
    code = code_version()
    with connection(settings) as database:
        database.execute(
            "INSERT INTO runtime.jobs AS known (job, code, changed_by) VALUES (%s, %s, 'its start') "
            "ON CONFLICT (job) DO UPDATE SET code = excluded.code",
            [settings.prefixed(job), code],
        )
    return code


def running(settings: Settings, job: str) -> str | None:
    """The code with which `job` was last started; None if it never said. Raises ServiceDownError."""
    migrate(settings)
    with connection(settings) as database:
        row = database.execute("SELECT code FROM runtime.jobs WHERE job = %s", [settings.prefixed(job)]).fetchone()
    return row[0] if row else None


def _link(settings: Settings, job: str) -> Path:
    return settings.home.absolute() / "code" / job


def _versions(settings: Settings) -> Path:
    return settings.home.absolute().resolve() / "code" / "versions"


def _point(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)  # at once: a job may be starting


def _git(root: Path, *words: str) -> str:
    """What git says; nothing where it fails, or isn't there."""
    with suppress(FileNotFoundError):
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
