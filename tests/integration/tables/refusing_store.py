"""A store that answers some requests with an error of its own and passes the others on."""

import contextlib
import socket
import sys
import threading
from typing import IO

from tests.integration.tables.proxy_process import ProxyProcess

ALWAYS = 1_000_000


class RefusingProxy(ProxyProcess):
    """Answers the first `times` requests of `method` whose path holds `path` with `status`; passes on all others."""

    def __init__(self, upstream: tuple[str, int], status: int, method: str, path: str, times: int = ALWAYS) -> None:
        super().__init__(__name__, *upstream, status, method, path, times)


class Refusals:
    """Decides, request by request, and counts."""

    def __init__(self, status: int, method: str, path: str, times: int) -> None:
        self._line = (method.encode() + b" ", path.encode())
        self._left = times
        self._lock = threading.Lock()
        body = b"<Error><Code>InternalError</Code><Message>told to</Message></Error>"
        head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        self.answer = head.encode() + b"Connection: close\r\n\r\n" + body

    def takes(self, request_line: bytes) -> bool:
        method, path = self._line
        with self._lock:
            if self._left and request_line.startswith(method) and path in request_line:
                self._left -= 1
                print("refused", flush=True)
                return True
        return False


def serve(upstream: tuple[str, int], refusals: Refusals) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=forward, args=(client, upstream, refusals), daemon=True).start()


def forward(client: socket.socket, upstream: tuple[str, int], refusals: Refusals) -> None:
    """One connection: request after request, each with a body of the length that it names."""
    with contextlib.suppress(OSError), client, socket.create_connection(upstream) as server:
        threading.Thread(target=answers, args=(server, client), daemon=True).start()
        requests = client.makefile("rb")
        while head := read_head(requests):
            length = next((int(line[15:]) for line in head if line.lower().startswith(b"content-length:")), 0)
            waits = any(line.lower().startswith(b"expect:") for line in head)
            if refusals.takes(head[0]):
                if not waits:
                    requests.read(length)
                client.sendall(refusals.answer)
                return
            server.sendall(b"".join(head))
            while length:
                data = requests.read1(min(length, 65_536))
                server.sendall(data)
                length -= len(data)


def read_head(requests: IO[bytes]) -> list[bytes]:
    lines = []
    while (line := requests.readline()) not in (b"", b"\r\n"):
        lines.append(line)
    return [*lines, b"\r\n"] if lines else []


def answers(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(65_536):
            client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    host, port, status, method, path, times = sys.argv[1:]
    serve((host, int(port)), Refusals(int(status), method, path, int(times)))
