"""Checkpoints of jobs, lost."""

from minio.deleteobjects import DeleteObject

from lakehouse.object_store import build_client
from lakehouse.settings import Settings


def delete_checkpoints(settings: Settings, job: str) -> int:
    """All of a job that is stopped: its next start is one from new state. How many objects they were."""
    client = build_client(settings)
    prefix = settings.checkpoint_path(job, "s3").removeprefix(f"s3://{settings.bucket}/")
    found = list(client.list_objects(settings.bucket, f"{prefix}/", recursive=True))
    assert list(client.remove_objects(settings.bucket, [DeleteObject(each.object_name or "") for each in found])) == []
    return len(found)
