"""The REST API of Flink's JobManager."""

from typing import Any, Final

import httpx

from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_TIMEOUT_SECONDS: Final = 30.0


_AT_WORK: Final = ("RUNNING", "RESTARTING")


def call_flink(settings: Settings, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the JobManager answers, parsed; None if nothing.

    Raises:
        ServiceDownError: it does not answer, or 503: just started, it takes requests before it can serve them.
        httpx.HTTPStatusError: any other answer that is not a success.
    """
    url = f"http://{settings.host}:{settings.flink_port}"
    try:
        answer = httpx.request(method, url + path, json=body, timeout=_TIMEOUT_SECONDS)
    except httpx.TransportError as error:
        raise ServiceDownError("flink-jobmanager", url) from error
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise ServiceDownError("flink-jobmanager", url)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def latest_checkpoints(settings: Settings, job: str) -> dict[str, Any]:
    """Of the job at work, or between two attempts, the newest "completed" and "restored" checkpoint, each as Flink
    describes it or None; empty where no such job is. Raises what `call_flink` raises."""
    name = settings.prefixed(job)
    for found in call_flink(settings, "GET", "/jobs/overview")["jobs"]:
        if found["name"] == name and found["state"] in _AT_WORK:
            latest: dict[str, Any] = call_flink(settings, "GET", f"/jobs/{found['jid']}/checkpoints")["latest"]
            return latest
    return {}
