"""Objects in MinIO that are not rows of a table: checkpoints, logs, what lies where a table should."""

from http import HTTPStatus

from minio import Minio
from minio.deleteobjects import DeleteObject
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


def put_new(settings: Settings, key: str, content: bytes) -> bool:
    """Puts an object where none is; of several at once, one does. Whether it was this one: False also where it was, and
    the answer to a first try was lost. Raises ServiceDownError."""
    # The client's own put knows no conditions.
    try:
        address = build_client(settings).presigned_put_object(settings.bucket, key)
        answer = PoolManager(timeout=10).request("PUT", address, body=content, headers={"If-None-Match": "*"})
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    return answer.status == HTTPStatus.OK


def remove_all(settings: Settings, location: str) -> int:
    """Removes every object whose name begins with ``s3://BUCKET/...``; returns how many there were.

    Raises:
        ServiceDownError: MinIO does not answer.
        OSError: one can't be removed.
    """
    client, prefix = build_client(settings), location.removeprefix(f"s3://{settings.bucket}/")
    try:
        names = [o.object_name for o in client.list_objects(settings.bucket, prefix, recursive=True) if o.object_name]
        for failed in client.remove_objects(settings.bucket, map(DeleteObject, names)):
            raise OSError(f"cannot remove {failed.name}: {failed.message}")
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    return len(names)
