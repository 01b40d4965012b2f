"""Turns errors that a person can act on into one sentence."""

from typing import Final

_DOWN: Final = "does not answer; start it with: lakehouse up"

_OURS: Final = ("lakehouse", "infra", "experiments", "jobs", "quality", "cli")


def explained(error: BaseException) -> str | None:
    """The sentence for `error`; None for a fault of the program, which deserves its stack trace.

    Errors that our own packages define are written for people. A library's refused connection names the service.
    """
    if type(error).__module__.partition(".")[0] in _OURS:
        return str(error)
    service = _unreachable(error)
    if service:
        return f"{service} {_DOWN} {service}"
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename}: there is no such file."
    return None


def _unreachable(error: BaseException) -> str | None:
    """The service whose library raised `error` for want of an answer."""
    kind, text = f"{type(error).__module__}.{type(error).__name__}", str(error).lower()
    refused = any(words in text for words in ("refused", "timed out", "connect error", "max retries", "transport"))
    if kind.startswith("psycopg.") and "connection" in text:
        return "postgres"
    if kind.startswith("redis.exceptions.") and ("connect" in text or "Timeout" in kind):
        return "valkey"
    if kind.startswith("cimpl.Kafka") and ("_transport" in text or refused or "failed to get metadata" in text):
        return "kafka"
    if kind.startswith(("minio.", "urllib3.", "deltalake.", "_internal.")) and refused:
        return "minio"
    if kind.startswith("httpx.Connect"):
        return "airflow"
    return None
