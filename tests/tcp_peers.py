"""TCP peers that are no receivers: one that hangs, and a forward proxy."""

from __future__ import annotations

import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server; `handle` has each connection in a thread. The port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):  # of the end
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                handle(connection)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def hang(connection: socket.socket) -> None:
    """Takes everything and answers nothing."""
    while connection.recv(65536):
        pass


@dataclass
class Proxy:
    url: str
    asked: list[str] = field(default_factory=list)  # the first line of each request


@contextmanager
def forward_proxy() -> Iterator[Proxy]:
    """A forward proxy: CONNECT, and requests with an absolute URI."""
    proxy = Proxy("")

    def handle(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (part := client.recv(65536)):
            head += part
        line, _, rest = head.partition(b"\r\n")
        method, target, version = line.decode().split()
        proxy.asked.append(line.decode())
        parts = urllib.parse.urlsplit(target if "://" in target else f"//{target}")
        assert parts.hostname is not None
        with socket.create_connection((parts.hostname, parts.port or 80)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(f"{method} {parts.path} {version}\r\n".encode() + rest)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()

    with serving(handle) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
