"""Debian's Prometheus writes to a collector while both are restarted: there and here agree.

`make soak-prometheus` runs the same for ten minutes.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from prometheus_server import Key, Prometheus
from restarted_collector import RestartedCollector
from scripted_exporter import TRACE, ScriptedExporter
from sql_rows import rows
from store_process import StoreProcess

Samples = dict[Key, list[tuple[int, float]]]

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)

SECONDS = float(os.environ.get("SOAK_PROMETHEUS_S", "0"))  # 0: one round, as short as it can be
SCRAPES = 15 if SECONDS else 2  # between what happens in a round
_AGREE = 0.01
_WAIT_S = 60
_EDGE_S = 1.1  # a scrape's interval, and a little
_COUNTERS = ("_total", "_count", "_sum", "_bucket")


@dataclass(frozen=True)
class Stack:
    exporter: ScriptedExporter
    prometheus: Prometheus
    collector: RestartedCollector
    store: StoreProcess
    restarts: list[tuple[float, float]] = field(default_factory=list)  # of Prometheus

    def round(self) -> None:
        """Everything that may end ends once and comes back."""
        self.exporter.wait_for(SCRAPES)
        self.collector.kill()
        self.exporter.wait_for(SCRAPES)
        self.exporter.start_anew()
        self.exporter.wait_for(1)
        self.collector.start()
        self.exporter.wait_for(SCRAPES)
        self.catch_up(
            time.time()
        )  # what Prometheus has not read of its log when it stops, it drops
        before = time.time()
        self.prometheus.stop()
        self.prometheus.start()
        self.restarts.append((before, time.time()))
        self.exporter.wait_for(SCRAPES)

    @property
    def targets(self) -> list[str]:
        theirs, scripted = self.prometheus.port, self.exporter.port
        ports = {"prometheus": theirs, "scripted": scripted, "native": scripted}
        return [f"{job}/127.0.0.1:{port}" for job, port in ports.items()]

    def catch_up(self, moment: float) -> None:
        """Until all that was scraped before `moment` is here."""
        for target in self.targets:
            wait_until_seen(self.store, target, moment)


@pytest.fixture
def stack(store_process: StoreProcess, tmp_path: Path) -> Iterator[Stack]:
    collector = RestartedCollector(tmp_path, store_process)
    with ScriptedExporter().running() as exporter:
        url = f"http://{collector.otlp_http}/api/v1/write"
        prometheus = Prometheus(tmp_path, exporter.port, url)
        try:
            collector.start()
            prometheus.start()
            yield Stack(exporter, prometheus, collector, store_process)
        finally:
            prometheus.close()
            collector.kill()


@pytest.mark.timeout(SECONDS + 180)
def test_what_prometheus_counted_through_restarts_of_both_is_counted_here(stack: Stack) -> None:
    began = time.time()
    while True:
        stack.round()
        if time.time() - began >= SECONDS:
            break
    end = time.time()
    stack.catch_up(end + 1)
    span = math.ceil(end - began) + 2

    theirs = {
        key: [(ts, value) for ts, value in values if math.isfinite(value)]
        for key, values in stack.prometheus.samples(end, span).items()
    }
    ours = samples(stack.store, stack.targets, end, span)
    check_samples(theirs, ours, stack.restarts)
    check_increases(stack.prometheus, ours, end, span)
    check_histograms(stack, end, span)
    check_what_is_no_sample(stack)


def check_what_is_no_sample(stack: Stack) -> None:
    _, scripted, _ = stack.targets
    ended = rows(stack.store, "metric", "series_ends", scripted)
    assert ("scripted_room_celsius",) in ended
    exemplars = rows(stack.store, "metric, trace_id", "exemplars", scripted)
    assert set(exemplars) == {("scripted_requests_total", TRACE)}
    assert description(stack.store, "scripted_requests_total") == "Requests answered."


def check_histograms(stack: Stack, end: float, span: int) -> None:
    there = stack.prometheus.histograms("scripted_size_bytes", end, span)
    columns = "toUnixTimestamp64Milli(ts), count, sum, scale, positive_offset, positive_buckets"
    found = rows(stack.store, columns, "exponential_histograms", stack.targets[2])
    here = {(ts, float(count), total) for ts, count, total, *_ in found if ts <= 1000 * end}
    missing = sorted(ts / 1000 for ts, *_ in set(there) - here)
    log.info("%d native histograms, of which %d are not here", len(there), len(missing))
    assert here <= set(there)
    assert not outside(stack.restarts, missing)
    for _, count, _, scale, offset, buckets in found:
        third = count // 3
        if count:
            assert (scale, offset, buckets) == (3, -3, [third, 0, 0, 0, 0, third, third])


def check_samples(theirs: Samples, ours: Samples, restarts: list[tuple[float, float]]) -> None:
    """What is there is here and the other way round, but for what Prometheus itself did not send:
    what it scrapes in its last moment, and in its first one, it may keep to itself."""
    invented = {key: set(ours[key]) - set(theirs.get(key, ())) for key in ours}
    assert {key: found for key, found in invented.items() if found} == {}
    missing = {key: set(theirs[key]) - set(ours.get(key, ())) for key in theirs}
    at = sorted(ts / 1000 for found in missing.values() for ts, _ in found)
    sent = sum(map(len, theirs.values()))
    log.info("%d series, %d samples, of which %d are not here", len(theirs), sent, len(at))
    assert not outside(restarts, at)
    assert len(at) <= _AGREE * sent


def outside(restarts: list[tuple[float, float]], moments: list[float]) -> list[float]:
    around = [(begin - _EDGE_S, end + _EDGE_S) for begin, end in restarts]
    return [ts for ts in moments if not any(begin <= ts <= end for begin, end in around)]


def check_increases(prometheus: Prometheus, ours: Samples, end: float, span: int) -> None:
    compared, worst = 0, 0.0
    counters = {key: found for key, found in ours.items() if key[0].endswith(_COUNTERS)}
    for metric in sorted(
        {key[0] for key, found in counters.items() if found[0][1] != found[-1][1]}
    ):
        for key, there in prometheus.increases(metric, end, span).items():
            here = increase(ours[key], end, span)
            assert here == pytest.approx(there, rel=_AGREE, abs=1e-9), key
            compared += there > 0
            worst = max(worst, abs(here - there) / there if there else 0.0)
    log.info("%d increases above 0 compared, the worst differs by %.4f %%", compared, 100 * worst)
    assert compared > 30


def increase(found: list[tuple[int, float]], end: float, span: int) -> float:
    """As Prometheus defines it: resets count, and the ends of the range are extrapolated to."""
    (first, first_value), (last, _) = found[0], found[-1]
    values = [value for _, value in found]
    grown = sum(b if b < a else b - a for a, b in pairwise(values))
    covered = (last - first) / 1000
    between = covered / (len(found) - 1)
    before, after = first / 1000 - (end - span), end - last / 1000
    if grown > 0:
        before = min(before, covered * first_value / grown)
    edges = sum(gap if gap < 1.1 * between else between / 2 for gap in (before, after))
    return grown * (covered + edges) / covered


def samples(store: StoreProcess, entities: list[str], end: float, span: int) -> Samples:
    """As Prometheus' own, from SQL."""
    with closing(store.service()) as client:
        found = client.query(
            "SELECT metric, entity, any(s.attributes),"
            " arraySort(groupArray((toUnixTimestamp64Milli(ts), value)))"
            " FROM samples JOIN series AS s USING (metric, entity, series)"
            " WHERE entity IN {entities:Array(String)} AND toUnixTimestamp64Milli(ts)"
            " BETWEEN {first:Int64} AND {last:Int64} GROUP BY metric, entity, series",
            parameters={
                "entities": entities,
                "first": math.ceil(1000 * (end - span)),
                "last": math.floor(1000 * end),
            },
        ).result_rows
    return {
        (metric, entity, frozenset(attributes.items())): list(points)
        for metric, entity, attributes, points in found
    }


def wait_until_seen(store: StoreProcess, entity: str, moment: float) -> None:
    """Until a sample of that time or later is there: what was sent before it is there, too."""
    deadline = time.monotonic() + _WAIT_S
    with closing(store.service()) as client:
        while True:
            newest = client.command(
                "SELECT max(toUnixTimestamp64Milli(ts)) FROM samples"
                " WHERE metric = 'up' AND entity = {entity:String}",
                parameters={"entity": entity},
            )
            if int(str(newest)) >= 1000 * moment:
                return
            assert time.monotonic() < deadline, f"{entity}: nothing since {newest}"
            time.sleep(0.1)


def description(store: StoreProcess, metric: str) -> str:
    with closing(store.service()) as client:
        return str(
            client.command(
                "SELECT description FROM metrics WHERE metric = {metric:String}",
                parameters={"metric": metric},
            )
        )
