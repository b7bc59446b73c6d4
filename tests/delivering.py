"""The agent's delivery as tests use it: to one destination, quick to try again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from novacron_agent.delivery.batch import Gap
from novacron_agent.delivery.delivery import Delivery, gap_readings
from novacron_agent.delivery.destination import Destination
from novacron_agent.otlp import Encoder, Request
from novacron_agent.readings import Reading
from novacron_contract.settings import parse

SERVICE = {"service.name": "novacron-agent", "service.instance.id": "a1", "host.id": "h1"}


def destination(endpoint: str, name: str = "there", **more: Any) -> Destination:
    table = {"name": name, "endpoint": endpoint, "timeout": "5s", **more}
    return parse(table, Destination, where="test")


def encode_gaps(name: str, gaps: list[Gap]) -> Request:
    return Encoder("1").encode(gap_readings(dict(SERVICE), name, gaps))[0]


@contextmanager
def delivering(folder: Path, *destinations: Destination) -> Iterator[Delivery]:
    delivery = Delivery(destinations, folder / "spool", "1.2.3", encode_gaps, first_wait_s=0.02)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close(3)


def figures(delivery: Delivery, name: str = "there") -> dict[str, float]:
    """Those that are not 0, without "novacron.agent.": {"export.points": 3}."""
    reading = Reading({}, 1)
    delivery.add_to(reading)
    found = {}
    for sample in reading.samples:
        if sample.attributes["novacron.destination"] == name and sample.value:
            reason = sample.attributes.get("novacron.reason")
            short = sample.metric.name.removeprefix("novacron.agent.")
            found[f"{short} {reason}" if reason else short] = sample.value
    found.pop("spool.age", None)
    return found


def dead_letters(folder: Path, name: str = "there") -> list[tuple[str, int]]:
    """(reason, points), once the delivery is closed."""
    db = sqlite3.connect(folder / f"spool/{name}.sqlite")
    try:
        rows = db.execute("SELECT reason, points FROM dead_letters ORDER BY number").fetchall()
    finally:
        db.close()
    return rows


def wait_until(condition: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
