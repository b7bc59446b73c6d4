"""People who look at panels: threads of a process of their own, as the UI's are."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection

from clickhouse_connect.driver.client import Client

from ingest_http import SECRET, Ingest
from ingest_requests import VMS
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

_READERS = 32
_LONE_ROUNDS = 15
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that was asked at `began` and had failed at `ended`, monotonic seconds, which are
    the same in all processes."""

    began: float
    ended: float
    what: str


@dataclass(frozen=True, slots=True)
class Seen:
    """How long each panel took (seconds), and what failed."""

    took: dict[str, list[float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Seen) -> None:
        for name, times in other.took.items():
            self.took.setdefault(name, []).extend(times)
        self.failures.extend(other.failures)


@dataclass
class Readers:
    """Threads that ask, each with a connection of its own."""

    connect: Callable[[], Client]
    panels: dict[str, Panel]
    pause_s: float
    index: Index  # one for all, as a UI has it
    seen: Seen = field(default_factory=Seen)
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
        client, chance = per_thread(self.connect), random.Random(number)
        self._stop.wait(chance.random() * self.pause_s)
        while not self._stop.is_set():
            name, began = chance.choice(list(self.panels)), time.monotonic()
            try:
                self.ask(client(), name, chance.randrange(VMS))
            except Exception as err:  # noqa: BLE001 - one that no page expects is one, too
                what = f"{name}: {type(err).__name__}: {err}"
                self.seen.failures.append(Failure(began, time.monotonic(), what))
            self._stop.wait(self.pause_s)

    def ask(self, client: Client, name: str, vm: int) -> None:
        began = time.monotonic()
        self.panels[name](client, self.index, f"vm-{vm:05d}")
        self.seen.took.setdefault(name, []).append(time.monotonic() - began)


def _read(pipe: Connection, url: str, now: float, pause: float) -> None:
    """A process of readers: what panels take alone is told first, then they look from one word to
    the next, and tell what they saw. What fails is told: nothing of it is logged beside."""
    logging.disable(logging.ERROR)
    service = partial(connect, url, user="service", password=SECRET)
    readers = Readers(service, panels(now), pause, Index(behind=per_thread(service)))
    readers.alone()
    pipe.send(readers.seen)
    while pipe.recv():
        readers.seen = Seen()
        with readers.looking():
            pipe.recv()
        pipe.send(readers.seen)


class ReadersApart:
    """Readers in a process of their own."""

    def __init__(self, ingest: Ingest, now: float, pause: float) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_read, args=(theirs, ingest.url, now, pause), daemon=True
        )
        self._process.start()
        alone: Seen = self._pipe.recv()
        self.lone = alone.took

    @contextmanager
    def looking(self, seen: Seen) -> Iterator[None]:
        """What they see meanwhile is added to `seen`."""
        self._pipe.send("look")
        try:
            yield
        finally:
            self._pipe.send("stop")
            seen.add(self._pipe.recv())

    def end(self) -> None:
        self._pipe.send("")
        self._process.join()
