"""Between the command line and a collector: requests arrive, and some answers are lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@dataclass
class Lossy:
    """`losing`: answers to changes that are lost still; `lost`: those that were."""

    url: str
    losing: int = 1
    lost: int = 0


@contextmanager
def lossy(behind: str, losing: int = 1) -> Iterator[Lossy]:
    state = Lossy("", losing)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = httpx.request(
                self.command,
                f"{behind}{self.path}",
                content=body,
                headers={name: of for name, of in self.headers.items() if name != "Host"},
                timeout=60,
            )
            if self.command != "GET" and state.losing > 0:
                state.losing -= 1
                state.lost += 1
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield state
        server.shutdown()
        thread.join()
