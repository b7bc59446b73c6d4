"""A collector's end of the agents' channel, in a test's own process: a real HTTP server that loses
what it is told to lose."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from novacron_agent.commands.channel import Way
from novacron_contract.commands import Order, Report, State, report

Loses = Callable[[str], bool]


@dataclass(slots=True)
class Answer:
    """In place of the right one."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


class Collector:
    """Delivers each order until it is reported, and again every `again_s`. `loses` is asked for
    every answer, by its path, whether it is lost; `otherwise` may answer in place of it."""

    def __init__(self, again_s: float = 0.3) -> None:
        self.loses: Loses = lambda _path: False
        self.otherwise: Callable[[str], Answer | None] = lambda _path: None
        self._again_s = again_s
        self._changed = threading.Condition()
        self._orders: dict[str, dict[str, Any]] = {}
        self._delivered: dict[str, float] = {}
        self._cancelled: set[str] = set()
        self.reports: dict[tuple[str, int], Report] = {}
        self.times: dict[tuple[str, str], float] = {}  # (path, command): when it was told first
        self.hellos: list[dict[str, Any]] = []
        self.journals: list[dict[str, Any]] = []
        self.instances: set[str] = set()
        self.polls = 0
        self.asked: list[float] = []
        self.url = ""

    # -- what a test does ------------------------------------------------------------------------

    def order(self, *orders: Order) -> None:
        self.send(*(one.as_json() for one in orders))

    def send(self, *raw: dict[str, Any]) -> None:
        with self._changed:
            self._orders |= {one["id"]: one for one in raw}
            self._changed.notify_all()

    def cancel(self, *ids: str) -> None:
        with self._changed:
            self._cancelled |= set(ids)
            self._changed.notify_all()

    def states(self, command_id: str) -> list[State]:
        """In the order of their numbers."""
        with self._changed:
            found = sorted((n, r) for (of, n), r in self.reports.items() if of == command_id)
        return [one.state for _number, one in found]

    def end(self, command_id: str, timeout_s: float = 20) -> Report:
        return self.ends([command_id], timeout_s)[command_id]

    def ends(self, ids: Sequence[str], timeout_s: float = 30) -> dict[str, Report]:
        wanted = set(ids)

        def found() -> dict[str, Report]:
            return {
                r.command_id: r
                for r in self.reports.values()
                if r.state.is_final and r.command_id in wanted
            }

        with self._changed:
            is_so = self._changed.wait_for(lambda: found().keys() == wanted, timeout_s)
            assert is_so, f"without an end: {wanted - found().keys()}"
            return found()

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float = 20) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, timeout_s)

    @property
    def way(self) -> Way:
        return Way(lambda: httpx.Client(base_url=self.url, trust_env=False))

    # -- what the agent asks ---------------------------------------------------------------------

    def poll(self, wait_s: float, limit: int, instance: str) -> dict[str, Any]:
        with self._changed:
            self.polls += 1
            self.instances.add(instance)
            self.asked.append(time.monotonic())
            self._changed.notify_all()
            mine, until = self.polls, time.monotonic() + wait_s
            while not (self._due() or self._cancelled or self.polls != mine):
                if time.monotonic() > until:
                    break
                self._changed.wait(0.05)  # what was not reported is due again by itself
            due = self._due()[:limit] if self.polls == mine else []  # an older one gets nothing
            for one in due:
                self._delivered[one] = time.monotonic()
            return {
                "orders": [self._orders[one] for one in due],
                "cancelled": sorted(self._cancelled),
            }

    def events(self, body: dict[str, Any]) -> dict[str, Any]:
        taken = []
        with self._changed:
            for raw in body["reports"]:
                one = report(raw)
                key = (one.command_id, one.number)
                assert self.reports.setdefault(key, one) == one, "a number is one report"
                taken.append({"command_id": one.command_id, "number": one.number})
                if one.state.is_final:
                    self._orders.pop(one.command_id, None)
                    self._cancelled.discard(one.command_id)
            self._changed.notify_all()
        return {"taken": taken, "unknown": []}

    def hello(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            self.hellos.append(body)
            self._changed.notify_all()
        return {"server_time": time.time(), "verbs_known": []}

    def _due(self) -> list[str]:
        now = time.monotonic()
        return [
            one
            for one in self._orders
            if now - self._delivered.get(one, float("-inf")) >= self._again_s
        ]


@contextmanager
def command_collector(
    again_s: float = 0.3, tls: ssl.SSLContext | None = None
) -> Iterator[Collector]:
    collector = Collector(again_s)

    class Handler(_Handler):
        told = collector

    with _Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            # The handshake is each connection's own: who does not shake hands holds up nobody
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if tls is None else "https"
        collector.url = f"{scheme}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield collector
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True  # head and body are two writes
    told: Collector

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        wait, limit, instance = (query[name][0] for name in ("wait", "max", "instance"))
        self._answer(lambda _body: self.told.poll(float(wait), int(limit), instance))

    def do_POST(self) -> None:
        self._answer(self._posted)

    def log_message(self, *_args: object) -> None:
        pass

    def _posted(self, body: bytes) -> dict[str, Any]:
        document = json.loads(body)
        if self.path.endswith("/events"):
            return self.told.events(document)
        if self.path.endswith("/hello"):
            return self.told.hello(document)
        self.told.journals.append(document)
        return {}

    def _answer(self, right: Callable[[bytes], dict[str, Any]]) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        other = self.told.otherwise(path)
        answer = other or Answer(body=json.dumps(right(body)).encode())
        if self.told.loses(path):
            self.close_connection = True
            return
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
        except OSError:  # the agent has gone
            self.close_connection = True
