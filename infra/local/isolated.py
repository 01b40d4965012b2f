"""An installation apart from the one that somebody uses: a home and ports of its own, and short intervals."""

import random
import socket
from pathlib import Path
from typing import Final

from lakehouse.contracts.core import CORE
from lakehouse.settings import PORT_DISTANCES, ROOT, load_settings

_CLAIM_DISTANCE: Final = 99
"""Beyond all services: the port that says that a base is taken, before anything listens on the others."""
_claims: Final[list[socket.socket]] = []
HASTE: Final = {
    # What lies between two micro-batches or checkpoints would be most of the time that one waits for.
    "LAKEHOUSE_SPARK_TRIGGER_SECONDS": "3",
    "LAKEHOUSE_FLINK_CHECKPOINT_SECONDS": "3",
    "LAKEHOUSE_CUT_SECONDS": "3",
    # Many such share a machine, on which nothing answers as quickly as where one installation lives.
    "LAKEHOUSE_OVERVIEW_SECONDS": "20",
    "LAKEHOUSE_SPARK": "off",
    # It lives for minutes and sees some thousand events, too few for what compilers cost.
    "LAKEHOUSE_SPARK_CODEGEN": "false",
    "LAKEHOUSE_KAFKA_JVM_OPTIONS": "-XX:TieredStopAtLevel=1",
    "LAKEHOUSE_FLINK_JVM_OPTIONS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
}
"""What such an installation has that is not to be lived in, nor measured."""


def isolated_environment(home: Path) -> dict[str, str]:
    """Environment of an installation in `home` on free ports. Keep `home` short: a socket's path has an end."""
    return {
        "LAKEHOUSE_HOME": str(home),
        "LAKEHOUSE_PORT_BASE": str(free_port_base()),
        "LAKEHOUSE_CORE": CORE,
        "LAKEHOUSE_CACHE": str(load_settings().cache.absolute()),
        "JAVA_HOME": str(load_settings().cache.absolute() / "java-home"),
        "PYTHONPATH": str(ROOT),
    } | HASTE


def free_port_base() -> int:
    """A base whose ports are all free, and this process's until it ends.

    Below the range from which the kernel takes clients' ports.
    """
    while True:
        base = random.SystemRandom().randrange(10_000, 32_000, 100)
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", base + _CLAIM_DISTANCE))
        except OSError:
            claim.close()
            continue
        if all(_is_free(base + distance) for distance in PORT_DISTANCES.values()):
            _claims.append(claim)
            return base
        claim.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
