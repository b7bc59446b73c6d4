"""People looking on while a fleet reports as fast as it can: 32 readers beside ingest.

Run it as `make bench-readers`. Collector and store are processes. The fleet's scrapes are sent over
32 connections as fast as they are answered, first alone, then with readers, who are threads of a
process of their own, as the UI's are: each asks the store for a panel, waits ten seconds
(BENCH_PAUSE), and asks for another. Two people meanwhile ask what never ends. BENCH_MACHINES takes
a smaller fleet.

In a last round the store is killed while ingest and readers go on, and started again:

    back_after_kill_s  seconds from there until each panel was answered again
    failed_while_away  panels that were asked for meanwhile, and told an error
    errors_after_kill  errors at any other time of that round: there should be none
    lost_after_kill    samples that were acknowledged and are not in the store in the end
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

import killed_store
from ingest_http import SECRET, Ingest, ingesting, send_scrapes
from ingest_requests import SCRAPE, STEP_S, write_scrapes
from novacron_store.telemetry.client import connect
from panel_readers import ReadersApart, Seen
from report import report

_BEFORE, _ROUNDS, _A_ROUND = 40, 2, 30  # scrapes: what readers see, and what is timed each time
_KILLED_ROUND = 60  # scrapes: they are sent for longer than the store is away
_ENDLESS = "SELECT count() FROM numbers(100000000) AS a, numbers(100000000) AS b"


@contextmanager
def endless(ask: Callable[[], Client], took: list[float], errors: list[str]) -> Iterator[None]:
    """Two people whose queries end at the limit, again and again."""
    stop = threading.Event()

    def run() -> None:
        client = ask()
        while not stop.is_set():
            began = time.monotonic()
            try:
                client.query(_ENDLESS)
                errors.append("endless: answered")
            except DatabaseError as err:  # the limit
                took.append(time.monotonic() - began)
                if "TIMEOUT_EXCEEDED" not in str(err):
                    errors.append(f"endless: {err}")
        client.close()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(90)


def measure(folder: Path, scrapes: Path, start: int) -> dict[str, float]:
    pause = float(os.environ.get("BENCH_PAUSE", "10"))
    with ingesting(folder) as ingest:
        send_scrapes(ingest, scrapes, 0, _BEFORE)
        readers = ReadersApart(ingest, start + STEP_S * _BEFORE, pause)
        stuck, errors, rates, at = list[float](), list[str](), _Rates(), _BEFORE
        seen = Seen()
        for _ in range(_ROUNDS):
            rates.alone.append(_rate(ingest, scrapes, at))
            with endless(_as("reader", ingest), stuck, errors), readers.looking(seen):
                rates.together.append(_rate(ingest, scrapes, at + _A_ROUND))
            at += 2 * _A_ROUND
        killed = killed_store.measure(ingest, readers, scrapes, start, at, at + _KILLED_ROUND)
        readers.end()
    errors += [failure.what for failure in seen.failures]
    for error in errors[:5]:
        print(error, file=sys.stderr)
    alone, together = map(statistics.mean, (rates.alone, rates.together))
    return {
        "ingest_alone_points_per_s": alone,
        "ingest_beside_readers_points_per_s": together,
        "ingest_kept": together / alone,
        "errors": len(errors),
        "panels_asked": sum(map(len, seen.took.values())),
        "endless_ended_s": max(stuck, default=0.0),
        **_times(readers.lone, seen.took),
        **killed,
    }


@dataclass(frozen=True)
class _Rates:
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)


def _times(lone: dict[str, list[float]], many: dict[str, list[float]]) -> dict[str, float]:
    """`p95_to_lone`: of all panels, each in times of what it usually takes alone."""
    usual = {name: statistics.median(times[1:]) for name, times in lone.items()}
    ratios = [took / usual[name] for name, times in many.items() for took in times]
    figures = {"p95_to_lone": _p95(ratios)}
    for name, times in many.items():
        figures[f"{name}_lone_ms"] = usual[name] * 1000
        figures[f"{name}_p95_ms"] = _p95(times) * 1000
    return figures


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def _rate(ingest: Ingest, scrapes: Path, first: int) -> float:
    """Points a second, from the first request until all of a round is committed."""
    began = time.monotonic()
    send_scrapes(ingest, scrapes, first, first + _A_ROUND)
    return _A_ROUND * SCRAPE / (time.monotonic() - began)


def _as(user: str, ingest: Ingest) -> Callable[[], Client]:
    return lambda: connect(ingest.url, user=user, password=SECRET)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as folder:
        scrapes = Path(folder) / "scrapes"
        start = write_scrapes(scrapes, _BEFORE + 2 * _ROUNDS * _A_ROUND + _KILLED_ROUND)
        figures = measure(Path(folder), scrapes, start)
    report("readers", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
