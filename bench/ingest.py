"""Points per CPU second, from OTLP bytes to committed rows: ours, other ways, and a peer.

Run it as `make bench-ingest`. Rounds are interleaved and medians taken. BENCH_ROUNDS takes another
number of rounds, and BENCH_WAYS only some of the ways: "ours http vm_text".

Every way ingests the same points (ingest_requests.py), and its time ends when it has nothing left
to merge in the background. There are two kinds:

in process   ingest_in_process.py: each run is a process of its own with a new database in it. Every
             way gathers five scrapes, 480,000 points, into one insert.
over HTTP    http is the collector and the store as they are installed (ingest_http.py), vm_text is
             VictoriaMetrics' text import (victoria_metrics.py). Requests are gzipped and come over
             32 connections. The sender is another process and does not count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ingest_http
import ingest_in_process
import victoria_metrics
from ingest_requests import SIZES, write_requests
from report import report

Figures = dict[str, float]
Measure = Callable[[str, Path], Figures]  # of a size, with the requests in a folder


def _in_process(way: str, size: str, requests: Path) -> Figures:
    command = [sys.executable, ingest_in_process.__file__, way, str(requests / f"{size}script")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"\n{way}:\n{done.stderr}")
    who, _, rest = way.partition("_")
    return {f"{who}_{size}{rest + '_' if rest else ''}points_per_cpu_s": float(done.stdout)}


def _http(size: str, requests: Path) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return ingest_http.measure(size, requests / f"{size}otlp", Path(folder))


def _vm_text(size: str, requests: Path) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return victoria_metrics.measure(size, requests / f"{size}text", Path(folder))


_WAYS: dict[str, Measure] = {
    **{way: partial(_in_process, way) for way in ingest_in_process.WAYS},
    "http": _http,
    "vm_text": _vm_text,
}
_RATIOS = {
    "ours_to_loop": ("ours_points_per_cpu_s", "loop_points_per_cpu_s"),
    "ratio_to_vm_text": ("http_points_per_cpu_s", "vm_text_points_per_cpu_s"),
    "small_ratio_to_vm_text": ("http_small_points_per_cpu_s", "vm_text_small_points_per_cpu_s"),
}


def _rounds(requests: Path, rounds: int, ways: list[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for size in SIZES:
            for way in ways:
                print(f"\r{number + 1}/{rounds} {size}{way:<20}", end="", flush=True)
                for figure, value in _WAYS[way](size, requests).items():
                    found.setdefault(figure, []).append(value)
    print("\r" + " " * 40, end="")
    return found


def main() -> int:
    ways = os.environ.get("BENCH_WAYS", " ".join(_WAYS)).split()
    with tempfile.TemporaryDirectory() as folder:
        write_requests(Path(folder))
        found = _rounds(Path(folder), int(os.environ.get("BENCH_ROUNDS", "3")), ways)
    figures = {figure: statistics.median(values) for figure, values in found.items()}
    for ratio, (one, other) in _RATIOS.items():
        if one in figures and other in figures:
            figures[ratio] = figures[one] / figures[other]
    report("ingest", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
