"""Sends scrapes over kept connections, as a fleet of agents does; in a process of its own.

`load.py URL CONTENT_TYPE FILE FIRST LAST` sends scrapes FIRST to LAST-1 of the file as fast as they
are answered. A request that is answered 429 or 503 is sent again when the answer says.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from ingest_requests import Scrapes

CONNECTIONS = 32
_TRY_AGAIN = (429, 503)
_TIMEOUT_S = 120


def send(url: str, content_type: str, scrapes: Path, first: int, last: int) -> None:
    """Return when everything is acknowledged.

    Raises:
        SystemExit: something was refused.
    """
    command = [sys.executable, __file__, url, content_type, str(scrapes), str(first), str(last)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"\n{url}: {done.stderr}")


def main(arguments: Sequence[str]) -> int:
    url, content_type, file, first, last = arguments
    scrapes: Scrapes = pickle.loads(Path(file).read_bytes())[int(first) : int(last)]
    bodies = (body for requests in scrapes for body in requests)
    lock = threading.Lock()
    with ThreadPoolExecutor(CONNECTIONS) as senders:
        sent = [
            senders.submit(_send_all, url, content_type, bodies, lock) for _ in range(CONNECTIONS)
        ]
    for sender in sent:
        sender.result()
    return 0


def _send_all(url: str, content_type: str, bodies: Iterator[bytes], lock: threading.Lock) -> None:
    where = urlsplit(url)
    connection = HTTPConnection(where.netloc, timeout=_TIMEOUT_S)
    headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    while True:
        with lock:  # a generator serves one thread at a time
            body = next(bodies, None)
        if body is None:
            break
        _post(connection, where.path, body, headers)
    connection.close()


def _post(connection: HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> None:
    while True:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in _TRY_AGAIN:
            break
        time.sleep(float(answer.headers.get("Retry-After", "1")))
    if answer.status not in (200, 204):
        raise SystemExit(f"{answer.status}: {text!r}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
