"""The local stack: start it in order, say how it is, end it without a trace."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local import leftovers, programs
from infra.local.credentials import ensure_credentials, write_private
from infra.local.preconditions import check_memory, check_ports, keep_core
from infra.local.service import Service, StackError
from infra.local.services import declared, with_dependencies
from lakehouse.runtime.supervisor import Supervisor, run_directory
from lakehouse.settings import Settings

_POLL_SECONDS: Final = 0.1

Report = Callable[[str, str], None]
"""Called with a service's name and what happens to it, from several threads."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    name: str
    state: str
    """``ready``, ``not ready`` (runs and doesn't answer) or the supervisor's word, in lower case."""
    pid: int | None
    seconds: int
    """Since it was started."""
    ports: dict[str, int]


class LocalStack:
    """The stack of one installation, found by the settings' home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.supervisor = Supervisor(settings)

    def up(self, names: Iterable[str] = (), report: Report = lambda _name, _event: None) -> None:
        """Start the services named (all without a name) and what they depend on; those that run are left alone.

        Raises:
            StackError: before anything is started, if a name is unknown, a port taken or memory too small;
                later, if a service does not become ready.
        """
        keep_core(self.settings)
        self._make_directories()
        self.settings = ensure_credentials(self.settings)
        services = declared(self.settings)
        wanted = with_dependencies(services, names)
        if not self.supervisor.alive():
            leftovers.end(self.settings)
        running = self._running()
        starting = [service for service in wanted if service.name not in running]
        check_ports(starting)
        check_memory(starting)
        self._configure(services)
        # Anew: those whose configuration has changed were stopped.
        self._start_all(wanted, self._running(), report)

    def down(self, report: Report = lambda _name, _event: None) -> None:
        """Stop everything, the supervisor too, whether or not the supervisor still lives."""
        if self.supervisor.alive():
            self._stop_in_order(report)
            pid = self.supervisor.supervisor_pid()
            self.supervisor.shutdown()
            leftovers.wait_until_gone(pid)
        leftovers.end(self.settings)

    def end(self, profile: str) -> list[str]:
        """Stop the services of a profile; returns the names of all that ran, by which `up` starts them again."""
        services = declared(self.settings)
        ran = [name for name in services if name in self._running()]
        for name in ran:
            if services[name].profile == profile:
                self.supervisor.stop(name)
        return ran

    def status(self) -> list[ServiceStatus]:
        """All declared services and jobs, also when nothing runs."""
        services = declared(self.settings)
        states = self.supervisor.programs() if self.supervisor.alive() else {}
        rows = []
        for name in (*services, *(program.name for program in programs.job_programs(self.settings))):
            state = states.get(name)
            service = services.get(name)
            word = state.state.lower() if state else "stopped"
            if service and state and state.running:
                word = "ready" if service.ready() else "not ready"
            running = state is not None and state.running
            rows.append(
                ServiceStatus(
                    name=name,
                    state=word,
                    pid=state.pid if state else None,
                    seconds=int(time.time()) - state.started_at if running and state else 0,
                    ports=dict(service.ports) if service else {},
                )
            )
        return rows

    def log_file(self, name: str) -> Path:
        return self.settings.home.absolute() / "logs" / f"{name}.log"

    def _make_directories(self) -> None:
        home, run = self.settings.home.absolute(), run_directory(self.settings)
        for directory in (home / "data", home / "logs"):
            directory.mkdir(parents=True, exist_ok=True)
        for directory in (run, run / "programs"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if run.stat().st_uid != os.geteuid():
            raise StackError(f"{run} belongs to somebody else; set LAKEHOUSE_HOME to a shorter path of your own.")
        run.chmod(0o700)

    def _running(self) -> set[str]:
        if not self.supervisor.alive():
            return set()
        return {name for name, state in self.supervisor.programs().items() if state.running}

    def _configure(self, services: dict[str, Service]) -> None:
        """Write the configuration, and start the supervisor or tell it what changed."""
        known = [programs.of_service(self.settings, service) for service in services.values()]
        known += programs.job_programs(self.settings)
        for program in known:
            programs.write_spec(self.settings, program)
        file = run_directory(self.settings) / "supervisor.conf"
        write_private(file, programs.configuration(self.settings, known))
        if not self.supervisor.alive():
            self._start_supervisor(file)
            return
        added, changed, removed = self.supervisor.reload_configuration()
        for name in (*changed, *removed):
            self.supervisor.stop(name)
            self.supervisor.remove(name)
        for name in (*added, *changed):
            self.supervisor.add(name)

    def _start_supervisor(self, file: Path) -> None:
        environment = os.environ | programs.base_environment(self.settings)
        done = subprocess.run(
            (sys.executable, "-m", "supervisor.supervisord", "-c", str(file)),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + 10
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.supervisor.alive():
                return
            time.sleep(_POLL_SECONDS)
        raise StackError(f"The supervisor did not start: {(done.stderr or done.stdout).strip()[-500:]}")

    def _start_all(self, wanted: list[Service], running: set[str], report: Report) -> None:
        """Each service as soon as those it depends on are ready; the first failure stops the waiting of all."""
        ready = {service.name: threading.Event() for service in wanted}
        failed = threading.Event()

        def start(service: Service) -> None:
            try:
                while not all(ready[name].wait(_POLL_SECONDS) for name in service.depends):
                    if failed.is_set():
                        return
                self._start(service, service.name in running, report, failed)
                ready[service.name].set()
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
            futures = [pool.submit(start, service) for service in wanted]
        for future in futures:
            future.result()

    def _start(self, service: Service, running: bool, report: Report, failed: threading.Event) -> None:
        if not running:
            report(service.name, "preparing")
            service.prepare()
            report(service.name, "starting")
            self.supervisor.start(service.name)
        begun = time.monotonic()
        while not service.ready():
            if failed.is_set():
                return
            state = self.supervisor.status(service.name)
            waited = time.monotonic() - begun
            if state.state in ("FATAL", "EXITED", "BACKOFF") or waited > service.ready_seconds:
                raise StackError(
                    f"{service.name} did not become ready ({state.state.lower()} after {waited:.0f} s): "
                    f"look into {self.log_file(service.name)}."
                )
            time.sleep(_POLL_SECONDS)
        service.initialise()
        report(service.name, "ready")

    def _stop_in_order(self, report: Report) -> None:
        """Jobs first, then services, each after those that depend on it."""
        services = declared(self.settings)
        running = self._running()
        levels = [{name for name in running if name not in services}]
        left = {name for name in running if name in services}
        while left:
            needed = {dependency for name in left for dependency in services[name].depends}
            levels.append(left - needed)
            left &= needed
        for level in levels:
            for name in level:
                report(name, "stopping")
                self.supervisor.stop(name, wait=False)
            while level & self._running_or_stopping():
                time.sleep(_POLL_SECONDS)
            for name in level:
                report(name, "stopped")

    def _running_or_stopping(self) -> set[str]:
        return {n for n, state in self.supervisor.programs().items() if state.running or state.state == "STOPPING"}
