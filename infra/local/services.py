"""Every service of the local stack, declared once, and which of them a name means."""

from collections.abc import Iterable

from infra.local.airflow import airflow
from infra.local.flink import flink
from infra.local.kafka import kafka
from infra.local.minio import minio
from infra.local.postgres import postgres
from infra.local.service import Service, StackError
from infra.local.spark import spark
from infra.local.toxiproxy import toxiproxy
from infra.local.valkey import valkey
from lakehouse.settings import Settings


def declared(settings: Settings) -> dict[str, Service]:
    """Services by name, each after those it depends on."""
    services = (
        kafka(settings),
        minio(settings),
        postgres(settings),
        valkey(settings),
        *([toxiproxy(settings)] if settings.fault_proxy else []),
        *flink(settings),
        *spark(settings),
        *airflow(settings),
    )
    return {service.name: service for service in services}


def with_dependencies(services: dict[str, Service], names: Iterable[str]) -> list[Service]:
    """The services that `names` mean (a service, a profile, or a service's first word), and what they need.

    Raises:
        StackError: a name means nothing.
    """
    wanted: set[str] = set()
    for name in names:
        meant = {s.name for s in services.values() if name in (s.name, s.profile) or s.name.startswith(f"{name}-")}
        if not meant:
            known = ", ".join((*dict.fromkeys(s.profile for s in services.values()), *services))
            raise StackError(f"There is no service {name!r}; there are: {known}.")
        wanted |= meant
    wanted = wanted or set(services)
    # A service comes after what it depends on, so one walk from the end finds everything.
    for service in reversed(services.values()):
        if service.name in wanted:
            wanted |= set(service.depends)
    return [service for service in services.values() if service.name in wanted]
