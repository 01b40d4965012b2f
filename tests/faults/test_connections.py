"""Connections through Toxiproxy break in the way that they are told to, and heal; MinIO is a plain web server here."""

import http.client
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from experiments.faults.connections import Broken
from experiments.faults.schedule import Kind
from infra.local.isolated import free_port_base
from infra.local.toxiproxy import toxiproxy
from lakehouse.settings import PORT_DISTANCES, Settings, load_settings

served: list[str] = []


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        served.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def settings() -> Iterator[Settings]:
    base = free_port_base()
    ports = {name: base + distance for name, distance in PORT_DISTANCES.items()}
    found = load_settings().model_copy(update=ports | {"fault_proxy": True})
    service = toxiproxy(found)
    service.prepare()
    server = ThreadingHTTPServer((found.host, found.minio_port), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = subprocess.Popen(service.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not service.ready():
        assert proxy.poll() is None
        time.sleep(0.05)
    service.initialise()
    yield found
    proxy.terminate()
    proxy.wait()
    server.shutdown()
    server.server_close()


def connect(settings: Settings) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(settings.host, settings.for_jobs.minio_port, timeout=3)


def ask(connection: http.client.HTTPConnection, path: str = "/") -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize(
    ("kind", "kept", "new", "arrives"),
    [
        (Kind.CUT, ConnectionError, ConnectionRefusedError, False),
        (Kind.HALF_OPEN, TimeoutError, TimeoutError, False),
        (Kind.UNANSWERED, TimeoutError, TimeoutError, True),
    ],
)
def test_connections_fail_in_their_way_until_healed(
    settings: Settings, kind: Kind, kept: type[Exception], new: type[Exception], arrives: bool
) -> None:
    before = connect(settings)
    assert ask(before) == 200
    fault = Broken(settings, kind, "minio")
    with pytest.raises(kept):
        ask(before, f"/{kind}")
    assert (f"/{kind}" in served) == arrives
    with pytest.raises(new):
        ask(connect(settings))
    fault.heal()
    assert ask(connect(settings)) == 200


def test_slow_answers_come(settings: Settings) -> None:
    connection = connect(settings)
    fault = Broken(settings, Kind.SLOW, "minio")
    began = time.monotonic()
    assert ask(connection) == 200
    assert time.monotonic() - began >= 0.2
    fault.heal()
    assert ask(connection) == 200
