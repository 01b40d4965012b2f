"""Where a replay's recomputed rows lie until they are swapped in."""

from minio.deleteobjects import DeleteObject

from lakehouse.object_store import build_client
from lakehouse.settings import Settings


def prefix(number: int) -> str:
    """Of the names of a replay's staging tables: ``replay_7__`` makes ``staging/replay_7__gold__user_totals``."""
    return f"replay_{number}__"


def delete_staged(settings: Settings, number: int) -> None:
    """Removes a replay's staging tables; without any, does nothing."""
    client = build_client(settings)
    layer = settings.table_path("staging.x").removeprefix(f"s3://{settings.bucket}/").removesuffix("x")
    found = client.list_objects(settings.bucket, layer + prefix(number), recursive=True)
    errors = client.remove_objects(settings.bucket, (DeleteObject(o.object_name) for o in found if o.object_name))
    for error in errors:
        raise OSError(f"cannot remove {error.name}: {error.message}")
