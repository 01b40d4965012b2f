"""A store whose answer gets lost: what was asked for is done, and the one who asked never learns it."""

import contextlib
import socket
import sys
import threading

from tests.integration.tables.proxy_process import ProxyProcess


class LosingProxy(ProxyProcess):
    """Forwards connections to MinIO; cuts the first one on which the writing of `path` is answered."""

    def __init__(self, upstream: tuple[str, int], path: str) -> None:
        super().__init__(__name__, *upstream, path)


def serve(upstream: tuple[str, int], path: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    lost = threading.Event()
    while True:
        client, _ = listener.accept()
        threading.Thread(target=forward, args=(client, upstream, path, lost), daemon=True).start()


def forward(client: socket.socket, upstream: tuple[str, int], path: bytes, lost: threading.Event) -> None:
    server = socket.create_connection(upstream)
    asked = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if data.startswith(b"PUT ") and path in data.split(b"\r\n", 1)[0]:
                    asked.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    threading.Thread(target=ask, daemon=True).start()
    with contextlib.suppress(OSError):
        while data := server.recv(65_536):
            # S3A asks first whether to send the content; that answer says nothing of the writing.
            if asked.is_set() and not lost.is_set() and not data.startswith(b"HTTP/1.1 100 "):
                lost.set()
                print("lost", flush=True)
                break
            client.sendall(data)
    for side in (client, server):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
        side.close()


if __name__ == "__main__":
    serve((sys.argv[1], int(sys.argv[2])), sys.argv[3].encode())
