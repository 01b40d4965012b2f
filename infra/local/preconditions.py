"""What has to hold before anything is started; each failure is one sentence that says what to do."""

import errno
import socket
from collections.abc import Iterable

import psutil

from infra.local.service import Service, StackError
from lakehouse.contracts.core import CORE, record_core, recorded_core
from lakehouse.settings import Settings


def keep_core(settings: Settings) -> None:
    """Lets an installation write down which core it has. Raises `StackError` if it has another than this process."""
    home = settings.home.absolute()
    recorded = recorded_core(home)
    if recorded is None:
        record_core(home, CORE)
    elif recorded is not CORE:
        raise StackError(
            f"The tables of this installation are those of the {recorded} core, and LAKEHOUSE_CORE says {CORE}: take "
            f"that out of the environment and of .env. `lakehouse core change-over` goes from spark to follower."
        )


def check_ports(services: Iterable[Service]) -> None:
    """Raises `StackError` for the first port that somebody else listens on."""
    for service in services:
        for setting, port in service.ports.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                    raise StackError(
                        f"Port {port}, which {service.name} needs, is taken by {_holder(port)}: end that, or set "
                        f"LAKEHOUSE_{setting.upper()} (or LAKEHOUSE_PORT_BASE to move all ports)."
                    ) from None


def check_memory(services: Iterable[Service]) -> None:
    """Raises `StackError` if the services would not fit into the memory that is free now."""
    needed = sum(service.memory_mb for service in services)
    free = psutil.virtual_memory().available // 2**20
    if needed > free:
        raise StackError(
            f"Starting this takes {needed} MB of memory and {free} MB are free: end other programs, or start less, "
            f"for example `lakehouse up core`."
        )


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            # A client's connection may hold the port too, where it lies in the range that the kernel gives out.
            if connection.pid and connection.laddr and connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another process"
