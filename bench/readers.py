"""People looking on while a fleet reports as fast as it can: 32 readers beside ingest.

Run it as `make bench-readers`. Collector and store are processes. The fleet's scrapes are sent over
32 connections as fast as they are answered, first alone, then with readers, who are threads of a
process of their own, as the UI's are: each asks the store for a panel, waits ten seconds
(BENCH_PAUSE), and asks for another. Two people meanwhile ask what never ends.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from ingest_http import SECRET, Ingest, ingesting, send_scrapes
from ingest_requests import SCRAPE, write_scrapes
from novacron_contract.errors import NovaCronError
from novacron_store.telemetry.builder import (
    Aggregate,
    How,
    Index,
    Over,
    Query,
    Select,
    evaluate,
    label,
)
from novacron_store.telemetry.client import connect, per_thread
from novacron_store.telemetry.queries import ChartQuery, chart, latest, sparklines
from report import report

_READERS = 32
_LONE_ROUNDS = 15
_BEFORE, _ROUNDS, _A_ROUND = 40, 2, 30  # scrapes: what readers see, and what is timed each time
_ENDLESS = "SELECT count() FROM numbers(100000000) AS a, numbers(100000000) AS b"
_CPU, _NETWORK = "vm.cpu.utilization", "vm.network.io"

Panel = Callable[[Client, Index, str], object]


def panels(now: float) -> dict[str, Panel]:
    """What pages ask; `now`: of the samples, Unix seconds."""
    end = datetime.fromtimestamp(now, UTC)
    ago, step = end - timedelta(minutes=10), 15.0

    def over_fleet(client: Client, index: Index, _: str) -> object:
        asked = Aggregate(How.SUM, Select(_NETWORK, Over.RATE, window=60.0))
        return evaluate(client, Query(asked, now - 300, now, step), index)

    def of_one(client: Client, index: Index, vm: str) -> object:
        asked = Select(_CPU, where=label("entity", vm))
        return evaluate(client, Query(asked, now - 300, now, step), index)

    return {
        "chart": lambda client, index, vm: chart(client, ChartQuery(_CPU, vm, ago, end), index),
        "latest": lambda client, index, vm: latest(client, vm, end, index.progress(client).borders),
        "page_of_50": lambda client, _, vm: sparklines(
            client, _CPU, ago, end, entities=[f"vm-{n:05d}" for n in range(50)]
        ),
        "series": of_one,
        "series_of_fleet": over_fleet,
    }


@dataclass
class Readers:
    """Threads that ask, each with a connection of its own."""

    connect: Callable[[], Client]
    panels: dict[str, Panel]
    pause_s: float
    index: Index  # one for all, as a UI has it
    took: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def alone(self) -> None:
        client = self.connect()
        for name in self.panels:
            for n in range(_LONE_ROUNDS + 1):
                self.ask(client, name, 37 * n)
        client.close()

    @contextmanager
    def looking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._look, args=(n,)) for n in range(_READERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._stop.clear()

    def _look(self, number: int) -> None:
        client, chance = self.connect(), random.Random(number)
        self._stop.wait(chance.random() * self.pause_s)
        while not self._stop.is_set():
            name = chance.choice(list(self.panels))
            try:
                self.ask(client, name, chance.randrange(3000))
            except NovaCronError as err:
                self.errors.append(f"{name}: {err}")
            self._stop.wait(self.pause_s)
        client.close()

    def ask(self, client: Client, name: str, vm: int) -> None:
        began = time.monotonic()
        self.panels[name](client, self.index, f"vm-{vm:05d}")
        self.took.setdefault(name, []).append(time.monotonic() - began)


def _read(pipe: Connection, url: str, now: float, pause: float) -> None:
    """A process of readers: how long panels take alone is told first, then they look from one word
    to the next, and what they saw is told when there is no word any more."""
    service = partial(connect, url, user="service", password=SECRET)
    readers = Readers(service, panels(now), pause, Index(behind=per_thread(service)))
    readers.alone()
    pipe.send(readers.took)
    readers.took = {}
    while pipe.recv():
        with readers.looking():
            pipe.recv()
        pipe.send("done")
    pipe.send((readers.took, readers.errors))


class ReadersApart:
    """Readers in a process of their own."""

    def __init__(self, ingest: Ingest, now: float, pause: float) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_read, args=(theirs, ingest.url, now, pause))
        self._process.start()
        self.lone: dict[str, list[float]] = self._pipe.recv()

    @contextmanager
    def looking(self) -> Iterator[None]:
        self._pipe.send("look")
        try:
            yield
        finally:
            self._pipe.send("stop")
            self._pipe.recv()

    def end(self) -> tuple[dict[str, list[float]], list[str]]:
        """What each panel took (seconds), and errors."""
        self._pipe.send("")
        seen: tuple[dict[str, list[float]], list[str]] = self._pipe.recv()
        self._process.join()
        return seen


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
    yield
    stop.set()
    for thread in threads:
        thread.join(90)


def measure(folder: Path, scrapes: Path, start: int) -> dict[str, float]:
    pause = float(os.environ.get("BENCH_PAUSE", "10"))
    with ingesting(folder) as ingest:
        send_scrapes(ingest, scrapes, 0, _BEFORE)
        readers = ReadersApart(ingest, start + 15 * _BEFORE, pause)
        stuck, errors, rates, at = list[float](), list[str](), _Rates(), _BEFORE
        for _ in range(_ROUNDS):
            rates.alone.append(_rate(ingest, scrapes, at))
            with endless(_as("reader", ingest), stuck, errors), readers.looking():
                rates.together.append(_rate(ingest, scrapes, at + _A_ROUND))
            at += 2 * _A_ROUND
        took, failed = readers.end()
    errors += failed
    for error in errors[:5]:
        print(error, file=sys.stderr)
    alone, together = map(statistics.mean, (rates.alone, rates.together))
    return {
        "ingest_alone_points_per_s": alone,
        "ingest_beside_readers_points_per_s": together,
        "ingest_kept": together / alone,
        "errors": len(errors),
        "panels_asked": sum(map(len, took.values())),
        "endless_ended_s": max(stuck, default=0.0),
        **_times(readers.lone, took),
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
        start = write_scrapes(scrapes, _BEFORE + 2 * _ROUNDS * _A_ROUND)
        figures = measure(Path(folder), scrapes, start)
    report("readers", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
