"""Toxiproxy, between the jobs and Kafka and MinIO: only on a stack whose connections are to be broken."""

from functools import partial
from typing import Final

import httpx

from infra.local import probes
from infra.local.service import Service, StackError
from lakehouse.settings import Settings

KAFKA: Final = "kafka"
MINIO: Final = "minio"


def toxiproxy(settings: Settings) -> Service:
    binary = settings.cache.absolute() / "bin" / "toxiproxy"
    return Service(
        name="toxiproxy",
        profile="core",
        command=(str(binary), "-host", settings.host, "-port", str(settings.toxiproxy_port)),
        # By default it logs every read and write.
        environment={"LOG_LEVEL": "warn"},
        ready=partial(probes.http_ok, settings.host, settings.toxiproxy_port, "/version"),
        memory_mb=50,
        ports={
            "toxiproxy_port": settings.toxiproxy_port,
            "kafka_proxy_port": settings.kafka_proxy_port,
            "minio_proxy_port": settings.minio_proxy_port,
        },
        depends=("kafka", "minio"),
        prepare=partial(_check_installed, settings),
        initialise=partial(_create_proxies, settings),
    )


def api(settings: Settings) -> httpx.Client:
    return httpx.Client(base_url=f"http://{settings.host}:{settings.toxiproxy_port}", timeout=10)


def _check_installed(settings: Settings) -> None:
    binary = settings.cache.absolute() / "bin" / "toxiproxy"
    if not binary.exists():
        raise StackError(
            f"Toxiproxy, which breaks connections, is not in {binary.parent}: `make install-tests` builds it; "
            f"`lakehouse faults --kinds kill,freeze` does without."
        )


def _create_proxies(settings: Settings) -> None:
    """Without a broken one: what an earlier fault left goes."""
    proxies = [
        _proxy(settings, KAFKA, settings.kafka_proxy_port, settings.kafka_proxied_port),
        _proxy(settings, MINIO, settings.minio_proxy_port, settings.minio_port),
    ]
    with api(settings) as client:
        client.post("/populate", json=proxies).raise_for_status()
        client.post("/reset").raise_for_status()


def _proxy(settings: Settings, name: str, port: int, behind: int) -> dict[str, object]:
    return {
        "name": name,
        "listen": f"{settings.host}:{port}",
        "upstream": f"{settings.host}:{behind}",
        "enabled": True,
    }
