"""The step that notes a replay in ``ops.replays``."""

from datetime import UTC, datetime

from jobs.batch.replay.earlier import name_of
from lakehouse.delta.write import Once, append_ops
from lakehouse.replay import store
from lakehouse.replay.staging import delete_staged
from lakehouse.replay.store import ReplayError
from lakehouse.replay.words import describe
from lakehouse.settings import Settings


def record(settings: Settings, number: int) -> None:
    """Writes to ``ops.replays`` who replayed what, the versions before and after, and how long it took; once."""
    replay = store.get(settings, number)
    if replay.outcome is None or replay.recomputed is None:
        raise ReplayError(f"replay {number} is {replay.state}: there is nothing to record")
    request, plan = replay.plan.request, describe(replay)
    append_ops(
        settings,
        "ops.replays",
        [
            {
                "replay": number,
                "recorded_at": datetime.now(UTC),
                "requested_by": replay.requested_by,
                "approved_by": replay.approved_by,
                "code_version": replay.plan.code_version,
                "code_before": replay.plan.code_before,
                "plan": plan,
                "clock": str(request.clock),
                "engine": str(request.engine),
                "range_start": request.start,
                "range_end": request.end,
                "table": name,
                "version_before": replay.outcome["versions"][name],
                "version_after": after,
                "events": replay.plan.reads,
                "seconds": float(replay.recomputed["seconds"]),
            }
            for name, after in replay.outcome["after"].items()
        ],
        Once(settings.prefixed(name_of(replay)), 1),
    )
    delete_staged(settings, number)
