"""Complete checkpoints and savepoints in object storage: what a job that was lost goes on from."""

from lakehouse.settings import Settings

_METADATA = "/_metadata"
"""Flink writes this object last: a checkpoint that has one is complete."""


def newest_checkpoint(settings: Settings, job: str) -> str | None:
    """The location of the newest complete checkpoint or savepoint in the job's own directory; None without one.

    Raises:
        ServiceDownError: the object storage does not answer.
    """
    from urllib3.exceptions import HTTPError

    from lakehouse.object_store import build_client
    from lakehouse.services import ServiceDownError

    client = build_client(settings)
    root = f"s3://{settings.bucket}/"
    try:
        complete = [
            (found.last_modified, found.object_name)
            for found in client.list_objects(settings.bucket, _prefix(settings, job), recursive=True)
            if found.object_name and found.object_name.endswith(_METADATA) and found.last_modified
        ]
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    if not complete:
        return None
    _, name = max(complete)
    return f"{root}{name}".removesuffix(_METADATA)


def delete_checkpoints(settings: Settings, job: str) -> int:
    """All of a job that is stopped: its next start is one from new state. How many objects they were.

    Raises:
        ServiceDownError: the object storage does not answer.
        OSError: an object could not be removed.
    """
    from minio.deleteobjects import DeleteObject
    from urllib3.exceptions import HTTPError

    from lakehouse.object_store import build_client
    from lakehouse.services import ServiceDownError

    client = build_client(settings)
    try:
        found = list(client.list_objects(settings.bucket, _prefix(settings, job), recursive=True))
        errors = client.remove_objects(settings.bucket, (DeleteObject(o.object_name) for o in found if o.object_name))
        for error in errors:
            raise OSError(f"cannot remove {error.name}: {error.message}")
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    return len(found)


def _prefix(settings: Settings, job: str) -> str:
    return settings.checkpoint_path(job, "s3").removeprefix(f"s3://{settings.bucket}/") + "/"
