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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from prometheus_server import Key, Prometheus
from restarted_collector import RestartedCollector
from scripted_exporter import TRACE, ScriptedExporter
from sql_rows import rows
from store_process import StoreProcess

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)

SECONDS = float(os.environ.get("SOAK_PROMETHEUS_S", "0"))  # 0: one round, as short as it can be
SCRAPES = 15 if SECONDS else 3  # between what happens in a round
_AGREE = 0.01
_WAIT_S = 60
_COUNTERS = ("_total", "_count", "_sum", "_bucket")


@dataclass(frozen=True)
class Stack:
    exporter: ScriptedExporter
    prometheus: Prometheus
    collector: RestartedCollector

    def round(self) -> None:
        """Everything that may end ends once and comes back."""
        self.exporter.wait_for(SCRAPES)
        self.collector.kill()
        self.exporter.wait_for(SCRAPES)
        self.exporter.start_anew()
        self.exporter.wait_for(1)
        self.collector.start()
        self.exporter.wait_for(SCRAPES)
        self.prometheus.stop()
        self.prometheus.start()
        self.exporter.wait_for(SCRAPES)


@pytest.fixture
def stack(store_process: StoreProcess, tmp_path: Path) -> Iterator[Stack]:
    collector = RestartedCollector(tmp_path, store_process)
    with ScriptedExporter().running() as exporter:
        url = f"http://{collector.otlp_http}/api/v1/write"
        prometheus = Prometheus(tmp_path, exporter.port, url)
        try:
            collector.start()
            prometheus.start()
            yield Stack(exporter, prometheus, collector)
        finally:
            prometheus.stop()
            collector.kill()


@pytest.mark.timeout(SECONDS + 180)
def test_what_prometheus_counted_through_restarts_of_both_is_counted_here(
    stack: Stack, store_process: StoreProcess
) -> None:
    began = time.time()
    while True:
        stack.round()
        if time.time() - began >= SECONDS:
            break
    end = time.time()
    targets = [f"{job}/127.0.0.1:{port}" for job, port in (
        ("prometheus", stack.prometheus.port), ("scripted", stack.exporter.port))]  # fmt: skip
    for target in targets:
        wait_until_seen(store_process, target, end + 1)
    span = math.ceil(end - began) + 2

    theirs = {
        key: [(ts, value) for ts, value in values if math.isfinite(value)]
        for key, values in stack.prometheus.samples(end, span).items()
    }
    ours = samples(store_process, targets, end, span)
    check_samples(theirs, ours)
    check_increases(stack.prometheus, ours, end, span)
    scripted = targets[1]
    assert {("scripted_room_celsius",)} <= set(
        rows(store_process, "metric", "series_ends", scripted)
    )
    assert set(rows(store_process, "metric, trace_id", "exemplars", scripted)) == {
        ("scripted_requests_total", TRACE)
    }
    assert description(store_process, "scripted_requests_total") == "Requests answered."


def check_samples(
    theirs: dict[Key, list[tuple[int, float]]], ours: dict[Key, list[tuple[int, float]]]
) -> None:
    """Nothing is here that is not there, and next to everything that is there is here."""
    invented = {key: set(ours[key]) - set(theirs.get(key, ())) for key in ours}
    assert {key: found for key, found in invented.items() if found} == {}
    missing = {key: set(theirs[key]) - set(ours.get(key, ())) for key in theirs}
    lost, sent = sum(map(len, missing.values())), sum(map(len, theirs.values()))
    log.info("%d series, %d samples, of which %d are not here", len(theirs), sent, lost)
    assert lost <= _AGREE * sent, {key: found for key, found in missing.items() if found}


def check_increases(
    prometheus: Prometheus, ours: dict[Key, list[tuple[int, float]]], end: float, span: int
) -> None:
    compared, worst = 0, 0.0
    for metric in sorted({key[0] for key in ours if key[0].endswith(_COUNTERS)}):
        for key, there in prometheus.increases(metric, end, span).items():
            here = increase(ours[key], end, span)
            assert here == pytest.approx(there, rel=_AGREE, abs=1e-9), key
            compared += there > 0
            worst = max(worst, abs(here - there) / there if there else 0.0)
    log.info("%d increases above 0 compared, the worst differs by %.4f %%", compared, 100 * worst)
    assert compared > 50


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


def samples(
    store: StoreProcess, entities: list[str], end: float, span: int
) -> dict[Key, list[tuple[int, float]]]:
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
            newest = client.query(
                "SELECT max(toUnixTimestamp64Milli(ts)) FROM samples"
                " WHERE metric = 'up' AND entity = {entity:String}",
                parameters={"entity": entity},
            ).first_row[0]
            if newest >= 1000 * moment:
                return
            assert time.monotonic() < deadline, f"{entity}: nothing since {newest}"
            time.sleep(0.1)


def description(store: StoreProcess, metric: str) -> str:
    with closing(store.service()) as client:
        found = client.query(
            "SELECT description FROM metrics WHERE metric = {metric:String}",
            parameters={"metric": metric},
        ).first_row
    return str(found[0])
