"""A program that Prometheus scrapes: a counter that starts anew, histograms, a gauge."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.internal.encoder import _VarintBytes

from compiled_messages import message

TRACE = "5b8efff798038103d269b633813fc60c"
_OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PROTOBUF = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
NATIVE = "/native"  # where the native histogram is, which has no form as text
_WAIT_S = 60


class ScriptedExporter:
    """Each scrape finds more than the one before, by a step that changes from scrape to scrape."""

    def __init__(self) -> None:
        self._scraped = threading.Condition()
        self._scrapes = 0
        self._requests = 0
        self.port = 0

    def start_anew(self) -> None:
        """Its counters are as after a restart of the program."""
        with self._scraped:
            self._requests = 0

    def wait_for(self, scrapes: int) -> None:
        """Until that many more have been answered."""
        with self._scraped:
            wanted = self._scrapes + scrapes
            assert self._scraped.wait_for(lambda: self._scrapes >= wanted, _WAIT_S + scrapes)

    @contextmanager
    def running(self) -> Iterator[ScriptedExporter]:
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                native = self.path == NATIVE
                body = exporter._native() if native else exporter._exposition().encode()
                self.send_response(200)
                self.send_header("Content-Type", _PROTOBUF if native else _OPEN_METRICS)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test tells what went wrong."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def _native(self) -> bytes:
        with self._scraped:
            count = self._requests
        histogram = {
            "sample_count": 3 * count,
            "sample_sum": 2.5 * count,
            "schema": 3,
            "zero_threshold": 0.001,
            "positive_span": [{"offset": -2, "length": 1}, {"offset": 4, "length": 2}],
            "positive_delta": [count, 0, 0],
        }
        family = message("prometheus_exposition.proto", "io.prometheus.client.MetricFamily")(
            name="scripted_size_bytes", type="HISTOGRAM", metric=[{"histogram": histogram}]
        ).SerializeToString()
        return bytes(_VarintBytes(len(family)) + family)

    def _exposition(self) -> str:
        with self._scraped:
            self._scrapes += 1
            self._requests += 10 + self._scrapes % 7
            self._scraped.notify_all()
            count, scrapes = self._requests, self._scrapes
        slow = count // 3
        gauge = f'scripted_room_celsius{{room="a"}} {20 + scrapes % 5}\n' if scrapes % 6 else ""
        return (
            "# HELP scripted_requests Requests answered.\n# TYPE scripted_requests counter\n"
            f'scripted_requests_total{{path="/a b"}} {count} # {{trace_id="{TRACE}"}} 1.0\n'
            "# TYPE scripted_seconds histogram\n"
            f'scripted_seconds_bucket{{le="0.1"}} {count - slow}\n'
            f'scripted_seconds_bucket{{le="+Inf"}} {count}\n'
            f"scripted_seconds_count {count}\nscripted_seconds_sum {count * 0.07}\n"
            "# TYPE scripted_room_celsius gauge\n"
            f"{gauge}# EOF\n"
        )
