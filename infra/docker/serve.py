"""Starts what a container of ours is for: ``python -m infra.docker.serve NAME``.

A service is prepared and started by the declaration that the local stack uses, so that both run it alike. Three
names are no services: ``credentials`` generates them, ``setup`` makes bucket and databases, ``jobs`` runs the
supervisor of the jobs that are processes.
"""

import os
import sys
from pathlib import Path

from infra.local import programs
from infra.local.credentials import ensure_credentials, write_private
from infra.local.preconditions import keep_core
from infra.local.services import declared
from lakehouse.runtime.supervisor import run_directory
from lakehouse.settings import ROOT, Settings, load_settings


def serve(settings: Settings, name: str) -> None:
    """Do what `name` stands for; a service or the supervisor replaces this process."""
    keep_core(settings)
    for directory in (settings.home / "data", settings.home / "logs"):
        directory.mkdir(parents=True, exist_ok=True)
    match name:
        case "credentials":
            ensure_credentials(settings)
            print(f"Credentials are in {settings.credentials_file}")  # noqa: T201
        case "setup":
            for store in ("minio", "postgres"):
                declared(settings)[store].initialise()
        case "jobs":
            _become_supervisor(settings)
        case _:
            _become(settings, name)


def _become(settings: Settings, name: str) -> None:
    service = declared(settings)[name]
    service.prepare()
    os.environ.update(programs.base_environment(settings) | dict(service.environment))
    os.chdir(ROOT)
    os.execvp(service.command[0], service.command)  # noqa: S606


def _become_supervisor(settings: Settings) -> None:
    run = run_directory(settings)
    for directory in (run, run / "programs", programs.batch_directory(settings)):
        directory.mkdir(exist_ok=True, mode=0o700)
    jobs = programs.job_programs(settings)
    for job in jobs:
        programs.write_spec(settings, job)
    configuration: Path = run / "supervisor.conf"
    write_private(configuration, programs.configuration(settings, jobs))
    os.environ.update(programs.base_environment(settings))
    command = (sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration))
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    serve(load_settings(), sys.argv[1])
