"""What a stack takes that has nothing to do: `python -m benchmarks.idle --seconds 600`.

Of a stack that runs with its jobs, while nobody sends anything: CPU seconds of each program with its children, of those
too that have ended meanwhile (Airflow's tasks, batch programs), as cores; and what the programs hold in memory at the
end, shared pages counted once per program. Begin some minutes after the last event.
"""

import argparse
import json
import time
from collections.abc import Mapping
from typing import Final

import psutil

from benchmarks.core import record
from cli.demo.memory import by_service
from infra.local.machine import describe
from lakehouse.contracts.core import CORE
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings, load_settings

ENDED: Final = "the supervisor, and what has ended"


def used_by(root: psutil.Process) -> float:
    """CPU seconds of a process, its descendants, and those of them that have ended."""
    used = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # and so in its parent's next time
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used


def programs(settings: Settings) -> dict[str, psutil.Process]:
    """Those that run."""
    states = Supervisor(settings).programs()
    return {name: psutil.Process(state.pid) for name, state in states.items() if state.running and state.pid}


def measure(settings: Settings, seconds: int) -> tuple[dict[str, float], dict[str, int]]:
    """By program, the cores that it took, and its MiB at the end."""
    supervisor, before = psutil.Process(Supervisor(settings).supervisor_pid()), programs(settings)
    all_before, each_before = used_by(supervisor), {name: used_by(process) for name, process in before.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    spent = {name: used_by(process) - each_before[name] for name, process in before.items() if process.is_running()}
    spent[ENDED] = used_by(supervisor) - all_before - sum(spent.values())
    return cores(spent, took), {name: held >> 20 for name, held in by_service(Supervisor(settings)).most_common()}


def cores(spent: Mapping[str, float], took: float) -> dict[str, float]:
    """The most first."""
    return {name: round(used / took, 3) for name, used in sorted(spent.items(), key=lambda each: -each[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    machine = describe()
    of_cpu, of_memory = measure(load_settings(), arguments.seconds)
    told = {"idle_cores": round(sum(of_cpu.values()), 3), "idle_stack_mib": sum(of_memory.values())}
    found = {"cores": of_cpu, "mib": of_memory}
    record("idle", told, {"machine": machine, "core": CORE} | found)
    print(json.dumps(told | found, indent=2))


if __name__ == "__main__":
    main()
