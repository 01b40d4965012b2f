"""Objects in MinIO that are not rows of a table: checkpoints, logs, what lies where a table should."""

from minio import Minio
from urllib3 import PoolManager, Retry
from urllib3.exceptions import HTTPError

from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings


def build_client(settings: Settings) -> Minio:
    """A client that gives up after some seconds: its own default tries for minutes."""
    return Minio(
        f"{settings.host}:{settings.minio_port}",
        access_key=settings.minio_access_key,
        secret_key=settings.minio_secret_key.get_secret_value(),
        secure=False,
        http_client=PoolManager(timeout=10, retries=Retry(2, backoff_factor=0.2)),
    )


def any_object(settings: Settings, location: str) -> str | None:
    """The name of some object under ``s3://BUCKET/...``, None if there is none. Raises ServiceDownError."""
    prefix = location.removeprefix(f"s3://{settings.bucket}/").rstrip("/") + "/"
    try:
        found = next(iter(build_client(settings).list_objects(settings.bucket, prefix, recursive=True)), None)
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    return found.object_name.removeprefix(prefix) if found and found.object_name else None
