"""Which of Flink's checkpoints a job goes on from, by what lies in MinIO."""

import io
import struct

import pytest

from lakehouse.object_store import build_client
from lakehouse.runtime.checkpoints import newest_checkpoint
from lakehouse.settings import Settings

pytestmark = pytest.mark.stack

JOB = "live_dashboard"


def complete(settings: Settings, place: str, number: int) -> str:
    """Puts the beginning of a checkpoint's metadata as Flink writes it; its location."""
    location = f"{settings.checkpoint_path(JOB, 's3')}/{place}"
    header = struct.pack(">iiq", 0x4960672D, 6, number)
    key = location.removeprefix(f"s3://{settings.bucket}/") + "/_metadata"
    build_client(settings).put_object(settings.bucket, key, io.BytesIO(header), len(header))
    return location


def test_the_checkpoint_of_the_highest_number_is_the_newest_whatever_the_clock_says(stack):
    settings = stack.ensure("minio").model_copy(update={"namespace": "numbered"})
    assert newest_checkpoint(settings, JOB) is None
    second = complete(settings, "b1/chk-10", 10)
    complete(settings, "a0/chk-9", 9)
    assert newest_checkpoint(settings, JOB) == second
    savepoint = complete(settings, "savepoint-b1-7f", 11)
    complete(settings, "a0/chk-8", 8)
    assert newest_checkpoint(settings, JOB) == savepoint
