"""Debian's Prometheus as a process that can be stopped and started again, and what it answers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from free_ports import free_port
from scripted_exporter import NATIVE

Key = tuple[str, str, frozenset[tuple[str, str]]]  # metric, job/instance, other labels
_START_S = 60
_STOP_S = 90


@dataclass
class Prometheus:
    """Scrapes itself and `exporter_port` each second, and writes to `remote_write`."""

    folder: Path
    exporter_port: int
    remote_write: str
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def close(self) -> None:
        self.stop()
        self._http.close()

    def start(self) -> None:
        """Returns once it is ready."""
        config = self.folder / "prometheus.yml"
        config.write_text(self._config())
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage,native-histograms",
        ]
        with (self.folder / "prometheus.log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._ready():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def stop(self) -> None:
        """As an administrator does: what it holds is sent first."""
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(_STOP_S) == 0, self.log()
            self._process = None

    def log(self) -> str:
        return (self.folder / "prometheus.log").read_text()

    def samples(self, at: float, seconds: int) -> dict[Key, list[tuple[int, float]]]:
        """All of every series in the `seconds` before `at`, as (unix milliseconds, value)."""
        found = self._query(f'{{job=~".+"}}[{seconds}s]', at)
        return {
            _key(series["metric"]): [(round(1000 * ts), float(v)) for ts, v in series["values"]]
            for series in found
            if "values" in series
        }

    def histograms(self, metric: str, at: float, seconds: int) -> list[tuple[int, float, float]]:
        """As `samples`, of the one series of a native histogram: (time, count, sum)."""
        (series,) = self._query(f"{metric}[{seconds}s]", at)
        return [
            (round(1000 * ts), float(found["count"]), float(found["sum"]))
            for ts, found in series["histograms"]
        ]

    def increases(self, metric: str, at: float, seconds: int) -> dict[Key, float]:
        return {
            _key(series["metric"] | {"__name__": metric}): float(series["value"][1])
            for series in self._query(f"increase({metric}[{seconds}s])", at)
        }

    def _query(self, expression: str, at: float) -> Iterator[Any]:
        answer = self._http.get(
            "/api/v1/query", params={"query": expression, "time": f"{at:.3f}"}
        ).json()
        assert answer["status"] == "success", answer
        yield from answer["data"]["result"]

    def _ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _config(self) -> str:
        return f"""
global: {{scrape_interval: 1s, scrape_timeout: 900ms}}
scrape_configs:
  - {{job_name: prometheus, static_configs: [{{targets: ["127.0.0.1:{self.port}"]}}]}}
  - {{job_name: scripted, static_configs: [{{targets: ["127.0.0.1:{self.exporter_port}"]}}]}}
  - job_name: native
    metrics_path: {NATIVE}
    static_configs: [{{targets: ["127.0.0.1:{self.exporter_port}"]}}]
remote_write:
  - url: {self.remote_write}
    send_exemplars: true
    send_native_histograms: true
    queue_config:  # one shard sends in order; the rest makes a test's seconds enough
      {{max_shards: 1, capacity: 50000, batch_send_deadline: 500ms, max_backoff: 500ms}}
    metadata_config: {{send_interval: 2s}}
"""


def _key(labels: dict[str, str]) -> Key:
    others = dict(labels)
    name, job, instance = (others.pop(label) for label in ("__name__", "job", "instance"))
    return name, f"{job}/{instance}", frozenset(others.items())
