"""Complete checkpoints and savepoints in object storage: what a job that was lost goes on from."""

import struct
from typing import TYPE_CHECKING, Final

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from minio import Minio

_METADATA: Final = "/_metadata"
"""Flink writes this object last: a checkpoint that has one is complete."""
_HEADER: Final = struct.Struct(">iiq")
"""It begins with a mark, the format's version, and the checkpoint's number."""
_MARK: Final = 0x4960672D


def newest_checkpoint(settings: Settings, job: str) -> str | None:
    """The location of the newest complete checkpoint or savepoint in the job's own directory; None without one.

    The newest is the one of the highest number: a restored run counts on from what it was restored from, and new state
    begins in an empty directory. The store's clock may have been set back since the last one, and decides only between
    two runs that have counted the same.

    Raises:
        ServiceDownError: the object storage does not answer.
    """
    from urllib3.exceptions import HTTPError

    from lakehouse.checkpoints import current_checkpoint
    from lakehouse.object_store import build_client
    from lakehouse.services import ServiceDownError

    client = build_client(settings)
    root = f"s3://{settings.bucket}/"
    prefix = current_checkpoint(settings, job).key(settings) + "/"
    try:
        complete = [
            (_number(client, settings.bucket, found.object_name), found.last_modified, found.object_name)
            for found in client.list_objects(settings.bucket, prefix, recursive=True)
            if found.object_name and found.object_name.endswith(_METADATA) and found.last_modified
        ]
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    if not complete:
        return None
    *_, name = max(complete)
    return f"{root}{name}".removesuffix(_METADATA)


def _number(client: "Minio", bucket: str, name: str) -> int:
    """Of a checkpoint; a savepoint's name doesn't tell it. -1 for what Flink didn't write."""
    with client.get_object(bucket, name, length=_HEADER.size) as answer:
        header = answer.data
    if len(header) < _HEADER.size:
        return -1
    mark, _, number = _HEADER.unpack(header)
    return int(number) if mark == _MARK else -1
