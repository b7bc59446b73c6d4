"""The collector is away while an agent measures for an hour, and comes back: what SQL says then."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest

from delivering import SERVICE, delivering, destination, figures, wait_until
from novacron_agent.delivery.delivery import Delivery
from novacron_agent.otlp import Encoder, Request
from novacron_agent.readings import Reading
from restarted_collector import RestartedCollector
from store_process import StoreProcess

HOUR = 360  # ticks of 10 seconds
TICK_S = 10
_IN_SQL_S = 120  # what comes late for an hour that is closed is there a minute later
METRICS = ("system.uptime", "system.cpu.load_average.1m")

pytestmark = pytest.mark.timeout(400)


def tick(host: str, at_s: int) -> Request:
    """What an agent of that host says at that time, its own metrics included."""
    reading = Reading({"host.id": host, "host.name": host}, at_s * 10**9)
    for name in METRICS:
        reading.add(name, float(at_s))
    itself = Reading({**SERVICE, "host.id": host}, at_s * 10**9)
    itself.add("novacron.agent.spool.size", 1, {"novacron.destination": "there"})
    [request] = Encoder("1").encode([reading, itself])
    return request


def times(store: StoreProcess, host: str) -> list[tuple[int, int]]:
    """(second, how many samples of both metrics have it)."""
    sql = (
        "SELECT toUnixTimestamp(ts) AS at, count() FROM samples WHERE entity = {host:String} "
        f"AND metric IN {METRICS} GROUP BY at ORDER BY at"
    )
    client = store.service()
    try:
        return [tuple(row) for row in client.query(sql, parameters={"host": host}).result_rows]
    finally:
        client.close()


@pytest.fixture
def collector(tmp_path: Path, store_process: StoreProcess) -> RestartedCollector:
    return RestartedCollector(tmp_path, store_process)


def url(collector: RestartedCollector, kind: str) -> str:
    return f"http://{collector.otlp_http}" if kind == "http" else f"grpc://{collector.otlp_grpc}"


def settled(delivery: Delivery) -> bool:
    [way] = delivery._ways.values()
    return len(way.intake) == 0


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_after_an_hour_away_nothing_is_missing_or_there_twice_and_what_is_now_comes_first(
    tmp_path: Path, store_process: StoreProcess, collector: RestartedCollector, kind: str
) -> None:
    host, now = f"outage-{kind}-{time.time_ns()}", int(time.time()) // TICK_S * TICK_S
    past = range(now - HOUR * TICK_S, now, TICK_S)
    with delivering(tmp_path, destination(url(collector, kind))) as delivery:
        for at in past:
            delivery.offer(tick(host, at))
        wait_until(lambda: figures(delivery).get("export.errors", 0) >= 8 and settled(delivery), 60)
        assert figures(delivery)["spool.batch.count"] == HOUR
        try:
            collector.start()
            back = time.monotonic()
            delivery.offer(tick(host, now))
            fresh = float("inf")
            while time.monotonic() < back + _IN_SQL_S:
                seen = {at for at, _ in times(store_process, host)}
                if now in seen:
                    fresh = min(fresh, time.monotonic() - back)
                if len(seen) == HOUR + 1:
                    break
                time.sleep(0.1)
            wait_until(lambda: "spool.batch.count" not in figures(delivery), 30)
        finally:
            collector.kill()
        assert fresh < 5
        assert figures(delivery)["export.points"] == 3 * (HOUR + 1)
        assert not any("dropped" in name for name in figures(delivery))
    assert times(store_process, host) == [(at, 2) for at in [*past, now]]


def test_longer_than_the_cap_exactly_the_oldest_are_missing_and_sql_names_the_gap(
    tmp_path: Path, store_process: StoreProcess, collector: RestartedCollector
) -> None:
    host, now = f"overflow-{time.time_ns()}", int(time.time()) // TICK_S * TICK_S
    past = range(now - 300 * TICK_S, now, TICK_S)
    small = 150 * 4700  # bytes: what an operator may set is more, and takes longer here
    there = dataclasses.replace(destination(url(collector, "http")), spool_size=small)
    with delivering(tmp_path, there) as delivery:
        for at in past:
            delivery.offer(tick(host, at))
        wait_until(lambda: settled(delivery), 60)
        lost = int(figures(delivery)["spool.dropped size"]) // 3
        try:
            collector.start()
            wait_until(lambda: "spool.batch.count" not in figures(delivery), 60)
            gaps = _gaps(store_process, now - 2000 * TICK_S, lost * 3)
            deadline = time.monotonic() + _IN_SQL_S
            while len(times(store_process, host)) < len(past) - lost:
                assert time.monotonic() < deadline, (lost, len(times(store_process, host)))
                time.sleep(0.2)
        finally:
            collector.kill()

    assert 0 < lost < len(past)
    missing = [at for begins, ends, _ in gaps for at in range(begins, ends + 1, TICK_S)]
    assert times(store_process, host) == [(at, 2) for at in past if at not in missing]
    # The oldest: but for one that was being sent just then, which parts the gap.
    assert (len(missing), set(missing) - set(past[: lost + 1])) == (lost, set())
    begins, ends, attributes = as_the_readme_asks(store_process)
    assert (begins.timestamp(), ends.timestamp()) == gaps[-1][:2]
    assert attributes == {"novacron.destination": "there", "novacron.reason": "size"}


def as_the_readme_asks(store: StoreProcess) -> tuple[Any, ...]:
    """The newest gap."""
    readme = Path(__file__).parents[2] / "agent" / "README.md"
    [sql] = re.findall(r"```sql\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    client = store.reader()
    try:
        return tuple(client.query(sql).result_rows[-1])
    finally:
        client.close()


def _gaps(store: StoreProcess, since: int, points: int) -> list[tuple[int, int, int]]:
    """(first second, last second, points) of each, the oldest first; so many points in all."""
    length, lost = "novacron.agent.gap.duration", "novacron.agent.gap.points"
    sql = (
        f"SELECT toUnixTimestamp(ts - toIntervalMillisecond(maxIf(value, metric = '{length}') "
        f"* 1000)), toUnixTimestamp(ts), maxIf(value, metric = '{lost}') FROM samples "
        f"WHERE metric IN ('{length}', '{lost}') AND ts > {{since:UInt32}} GROUP BY ts ORDER BY ts"
    )
    client = store.service()
    deadline = time.monotonic() + _IN_SQL_S
    try:
        while time.monotonic() < deadline:
            rows = client.query(sql, parameters={"since": since}).result_rows
            found = [(int(begins), int(ends), int(of)) for begins, ends, of in rows]
            if sum(of for _, _, of in found) == points:
                return found
            time.sleep(0.2)
    finally:
        client.close()
    raise AssertionError(f"not told of so many points: {points}")
