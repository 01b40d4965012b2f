"""Programs of the supervisor: the services of the stack and the catalogue's jobs."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local import launch
from infra.local.credentials import write_private
from infra.local.java import java_home
from infra.local.service import Service
from lakehouse.contracts.jobs import JOBS, Engine, Restart
from lakehouse.runtime.code_in_force import place
from lakehouse.runtime.process import FINISHED_STATUS
from lakehouse.runtime.supervisor import job_program, run_directory
from lakehouse.settings import ROOT, Settings

JOB_STOP_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Program:
    """One ``[program:…]`` of the supervisor's configuration."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    stop_signal: str
    stop_seconds: int
    restart: str
    """``true``: whenever it ends; ``unexpected``: unless it was asked to finish (`FINISHED_STATUS`); ``false``."""
    directory: Path = ROOT
    """Where it is started, and where its code lies."""


def of_service(settings: Settings, service: Service) -> Program:
    # Against kill -9 of the supervisor: the kernel then sends its children this signal.
    command = (*service.prefix, "setpriv", "--pdeathsig", service.stop_signal, *service.command)
    return Program(
        name=service.name,
        command=command,
        environment=base_environment(settings) | dict(service.environment),
        stop_signal=service.stop_signal,
        stop_seconds=service.stop_seconds,
        restart="true",
    )


def job_programs(settings: Settings) -> list[Program]:
    """The jobs that run as processes; who wants them to run starts them, never ``lakehouse up``."""
    seen = settings.for_jobs
    reached = {"LAKEHOUSE_KAFKA_PORT": str(seen.kafka_port), "LAKEHOUSE_MINIO_PORT": str(seen.minio_port)}
    return [
        Program(
            name=job_program(job.name),
            command=("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", job.entry_point),
            environment=base_environment(settings) | reached,
            stop_signal="TERM",
            stop_seconds=JOB_STOP_SECONDS,
            restart="unexpected" if job.restart is Restart.ALWAYS else "false",
            directory=place(settings, job.name),
        )
        for job in JOBS.values()
        if job.engine is Engine.PROCESS
    ]


def base_environment(settings: Settings) -> dict[str, str]:
    """What every program gets on top of the environment that the supervisor was started in.

    Settings that were given by environment go on to the programs, as they are now.
    """
    given = {n: v for n, v in os.environ.items() if n.startswith("LAKEHOUSE_") and n != launch.MARKER}
    return given | {
        "LAKEHOUSE_HOME": str(settings.home.absolute()),
        "LAKEHOUSE_CACHE": str(settings.cache.absolute()),
        "LAKEHOUSE_PORT_BASE": str(settings.port_base),
        "JAVA_HOME": java_home(settings),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        # Whatever the user's are: Java 17 takes its default charset and time zone from here.
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
    }


def marker(settings: Settings, name: str = "") -> str:
    """What marks the processes of a program; without a name, the beginning of every program's mark."""
    home = str(settings.home.absolute())
    return f"{home}:{name};" if name else f"{home}:"


def write_spec(settings: Settings, program: Program) -> None:
    """Write what `launch` starts; it holds credentials."""
    spec = {
        "marker": marker(settings, program.name),
        "command": program.command,
        "environment": program.environment,
        "directory": str(program.directory),
    }
    write_private(spec_path(settings, program.name), json.dumps(spec, indent=1))


def configuration(settings: Settings, programs: list[Program]) -> str:
    """The supervisor's configuration file."""
    run, logs = run_directory(settings), settings.home.absolute() / "logs"
    user = "user=root\n" if os.geteuid() == 0 else ""
    head = f"""\
[supervisord]
logfile={_escaped(logs / "supervisor.log")}
pidfile={_escaped(run / "supervisor.pid")}
childlogdir={_escaped(logs)}
{user}
[unix_http_server]
file={_escaped(run / "supervisor.sock")}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={_escaped(batch_directory(settings))}/*.conf
"""
    return head + "".join(section(settings, program) for program in programs)


def batch_directory(settings: Settings) -> Path:
    """Where sections of programs lie that are taken up while the supervisor runs (`infra.local.batch`)."""
    return run_directory(settings) / "batch"


def section(settings: Settings, program: Program, *, once: bool = False) -> str:
    """The program's part of the configuration; with `once`, it may end quickly and is not started again."""
    words = (sys.executable, "-I", "-S", launch.__file__, spec_path(settings, program.name))
    command = " ".join(f'"{_escaped(word)}"' for word in words)
    return f"""
[program:{program.name}]
command={command}
autostart=false
autorestart={program.restart}
exitcodes={FINISHED_STATUS}
startsecs={0 if once else 1}
startretries={0 if once else 1000}
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(settings.home.absolute() / "logs" / f"{program.name}.log")}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def spec_path(settings: Settings, name: str) -> Path:
    """Where `write_spec` puts what `launch` starts."""
    return run_directory(settings) / "programs" / f"{name}.json"


def _escaped(value: str | Path) -> str:
    return str(value).replace("%", "%%")
