"""A stack that faults and comparisons have to themselves: its own home and ports, so that nobody else's is touched."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.isolated import HASTE, isolated_environment
from infra.local.service import StackError
from infra.local.stack import LocalStack
from lakehouse.settings import PORT_DISTANCES, load_settings


@contextmanager
def own_stack(proxied: bool, name: str = "faults", *, hasty: bool = True) -> Iterator[LocalStack]:
    """A stack in `name` below the installation's home, empty at first, nothing of it started yet.

    `proxied`: with Toxiproxy between the jobs and Kafka and MinIO. Not `hasty`: with the intervals and compilers of an
    installation that somebody uses.

    While the block lasts it is this process's installation: `load_settings` and every process started see it.
    Afterwards it is taken down and removed.

    Raises:
        StackError: another process has it.
    """
    before, home = dict(os.environ), load_settings().home.absolute() / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"Something is being run in {home} already: wait, or set LAKEHOUSE_HOME.") from None
        environment = isolated_environment(home)
        if not hasty:
            environment = {name: value for name, value in environment.items() if name not in HASTE}
        base = int(environment["LAKEHOUSE_PORT_BASE"])
        # By name too: a port that the user has set would lead to the user's own service.
        ports = {f"LAKEHOUSE_{name.upper()}": str(base + distance) for name, distance in PORT_DISTANCES.items()}
        given = {"LAKEHOUSE_NAMESPACE": "", "LAKEHOUSE_FAULT_PROXY": str(proxied)}
        os.environ.update(environment | ports | given)
        load_settings.cache_clear()
        # What a run that was killed has left; its credentials must not be known any more when others are made.
        _remove(LocalStack(load_settings()))
        load_settings.cache_clear()
        stack = LocalStack(load_settings())
        try:
            yield stack
        finally:
            _remove(stack)
            os.environ.clear()
            os.environ.update(before)
            load_settings.cache_clear()


def keep_logs(stack: LocalStack, name: str) -> Path:
    """Copy the stack's logs to where they stay, ``faults-failed/NAME`` beside its home."""
    kept = stack.settings.home.absolute().with_name("faults-failed") / name
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(stack.settings.home / "logs", kept)
    return kept


def _remove(stack: LocalStack) -> None:
    stack.down()
    shutil.rmtree(stack.settings.home, ignore_errors=True)
