"""MinIO: the S3 store of the tables and checkpoints."""

from functools import partial

from infra.local import probes
from infra.local.service import Service
from lakehouse.settings import Settings


def minio(settings: Settings) -> Service:
    address, console = (f"{settings.host}:{port}" for port in (settings.minio_port, settings.minio_console_port))
    data = settings.home.absolute() / "data" / "minio"
    return Service(
        name="minio",
        profile="core",
        command=(
            str(settings.cache.absolute() / "bin" / "minio"),
            "server",
            "--quiet",
            "--address",
            address,
            "--console-address",
            console,
            str(data),
        ),
        environment={
            "MINIO_ROOT_USER": settings.minio_access_key,
            "MINIO_ROOT_PASSWORD": settings.minio_secret_key.get_secret_value(),
            "MINIO_UPDATE": "off",
        },
        ready=partial(probes.http_ok, settings.host, settings.minio_port, "/minio/health/ready"),
        memory_mb=400,
        ports={"minio_port": settings.minio_port, "minio_console_port": settings.minio_console_port},
        prepare=partial(data.mkdir, parents=True, exist_ok=True),
        initialise=partial(_create_bucket, settings),
    )


def _create_bucket(settings: Settings) -> None:
    from minio import Minio

    from lakehouse.delta.installations import require_own

    client = Minio(
        f"{settings.host}:{settings.minio_port}",
        access_key=settings.minio_access_key,
        secret_key=settings.minio_secret_key.get_secret_value(),
        secure=False,
    )
    if not client.bucket_exists(settings.bucket):
        client.make_bucket(settings.bucket)
    require_own(settings)
