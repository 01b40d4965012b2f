"""Faults of connections, made by Toxiproxy between the jobs and a service."""

from typing import Any, Final

from experiments.faults.schedule import Kind
from infra.local.toxiproxy import api
from lakehouse.settings import Settings

# A toxic without a time drops data, and on its removal closes the connections from which it has dropped some.
_TOXICS: Final[dict[Kind, tuple[dict[str, Any], ...]]] = {
    Kind.SLOW: ({"type": "latency", "stream": "downstream", "attributes": {"latency": 1_000, "jitter": 800}},),
    Kind.HALF_OPEN: tuple(
        {"type": "timeout", "stream": stream, "attributes": {"timeout": 0}} for stream in ("upstream", "downstream")
    ),
    Kind.UNANSWERED: ({"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}},),
}


class Broken:
    """The jobs' connections to `target`, broken in the way of `kind` until `heal`."""

    def __init__(self, settings: Settings, kind: Kind, target: str) -> None:
        self._settings = settings
        self._path = f"/proxies/{target}"
        self._kind = kind
        if kind is Kind.CUT:
            self._ask("POST", "", {"enabled": False})
        for toxic in _TOXICS.get(kind, ()):
            self._ask("POST", "/toxics", toxic | {"name": self._name(toxic)})

    def heal(self) -> None:
        if self._kind is Kind.CUT:
            self._ask("POST", "", {"enabled": True})
        for toxic in _TOXICS.get(self._kind, ()):
            self._ask("DELETE", f"/toxics/{self._name(toxic)}")

    def _name(self, toxic: dict[str, Any]) -> str:
        return f"{self._kind}_{toxic['stream']}"

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        with api(self._settings) as client:
            client.request(method, self._path + path, json=body).raise_for_status()
