"""Questions that tell whether a service answers: quick, and false rather than an exception."""

import http.client
import json
import socket
import subprocess
from collections.abc import Callable
from typing import Any

_SECONDS = 2.0


def tcp(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_SECONDS):
            return True
    except OSError:
        return False


def http_json(host: str, port: int, path: str) -> Any:
    """The JSON answer to a GET; None where there is none or its status isn't 200."""
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def http_ok(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def succeeds(*command: str) -> Callable[[], bool]:
    """A probe that runs a command."""

    def probe() -> bool:
        try:
            return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    return probe
