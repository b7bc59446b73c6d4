"""What the collector says of itself is in its store, and is what happened."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from collector_process import CollectorProcess, collector
from live_feed import wait_until
from novacron_collector.own_metrics.histogram import SECONDS, Histogram
from novacron_collector.own_metrics.instance import instance_id
from novacron_collector.own_metrics.store_figures import StoreFigures
from novacron_collector.receivers.http import PROTOBUF
from novacron_contract.collector_metrics import (
    COLLECTOR_BY_NAME,
    COLLECTOR_METRICS,
    COLLECTOR_SERVICE_NAME,
)
from novacron_contract.metrics import Kind
from store_process import StoreProcess

SOON = '[own_metrics]\nevery = "200ms"\n'
EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
LATER = {"novacron.collector.rollup.lag"}  # once there is a bucket of 5 minutes


@dataclass(frozen=True)
class Reporting:
    """A collector of this test, its folder, and the store it reports to."""

    process: CollectorProcess
    folder: Path
    store: Client

    @property
    def entity(self) -> str:
        return (
            f"{COLLECTOR_SERVICE_NAME}/{(self.folder / 'wal' / 'instance-id').read_text().strip()}"
        )

    def newest(self, name: str) -> dict[str, float]:
        """By the value of the metric's attribute; under "" where it has none."""
        (attribute,) = COLLECTOR_BY_NAME[name].attributes or ("",)
        rows = self.store.query(
            "SELECT attributes[{attribute:String}], value FROM metrics_now "
            "WHERE entity = {entity:String} AND metric = {metric:String}",
            parameters={"attribute": attribute, "entity": self.entity, "metric": name},
        ).result_rows
        return {str(key): value for key, value in rows}

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        named = {"content-type": PROTOBUF, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return httpx.post(f"{self.process.http}/v1/metrics", content=body, headers=named)


@pytest.fixture
def store(store_process: StoreProcess) -> Iterator[Client]:
    client = store_process.service()
    yield client
    client.close()


@pytest.fixture
def reporting(store_process: StoreProcess, store: Client, tmp_path: Path) -> Iterator[Reporting]:
    with collector(store_process, tmp_path, SOON) as process:
        yield Reporting(process, tmp_path, store)


def gauges(*points: dict[str, Any]) -> bytes:
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="sent")
    for number, point in enumerate(points):
        told = metric.gauge.data_points.add(**{"time_unix_nano": time.time_ns(), **point})
        told.attributes.add(key="n").value.int_value = number
    return bytes(data.SerializeToString())


def test_counters_are_what_senders_did(reporting: Reporting) -> None:
    good = [gauges(*[{"as_double": 1.0}] * 10) for _ in range(5)]
    infinite, late = {"as_double": float("inf")}, time.time_ns() - 8 * 86400 * 10**9
    mixed = gauges({"as_double": 1.0}, infinite, infinite, {"as_int": 1, "time_unix_nano": late})
    for body in (*good, good[0], good[1], mixed):
        assert reporting.post(body).status_code == 200
    for _ in range(3):
        assert reporting.post(b"junk").status_code == 400
    assert reporting.post(b"junk", content_encoding="gzip").status_code == 400
    assert reporting.post(b"", content_encoding="br").status_code == 415
    assert reporting.post(b"\0" * (16 * 2**20 + 1)).status_code == 413
    assert reporting.post(gzip.compress(b"\0" * (64 * 2**20 + 1)), content_encoding="gzip").is_error
    assert httpx.post(f"{reporting.process.http}/v1/traces").status_code == 404
    with grpc.insecure_channel(reporting.process.grpc) as channel:
        export = channel.unary_unary(EXPORT)
        export(gauges({"as_int": 1}))
        with pytest.raises(grpc.RpcError):
            export(b"\x0a\x05ab")

    outcomes = {"accepted": 7.0, "repeated": 2.0, "undecodable": 5.0, "refused": 4.0}
    wait_until(lambda: reporting.newest("novacron.collector.request.count") == outcomes)
    refused = _without_zeros(reporting.newest("novacron.collector.request.refused"))
    assert refused == {"unsupported": 1, "too_large": 2, "not_metrics": 1}
    assert reporting.newest("novacron.collector.point.count") == {"": 52}
    rejected = _without_zeros(reporting.newest("novacron.collector.point.rejected"))
    assert rejected == {"infinite": 2, "too_old": 1}
    assert reporting.newest("novacron.collector.ledger.entries")[""] >= 6
    counters = httpx.get(f"{reporting.process.api}/v1/status").json()["counters"]
    assert (counters["requests"], counters["points"]) == (12 - 1, 52), "its own are not among them"


def _without_zeros(counts: dict[str, float]) -> dict[str, float]:
    return {reason: count for reason, count in counts.items() if count}


def test_every_metric_of_the_list_is_sent_as_the_list_says(reporting: Reporting) -> None:
    def sent() -> dict[str, tuple[Any, ...]]:
        rows = reporting.store.query(
            "SELECT m.metric, kind, temporality, monotonic, unit, description FROM metrics AS m "
            "WHERE metric IN (SELECT metric FROM series WHERE entity = {entity:String})",
            parameters={"entity": reporting.entity},
        ).result_rows
        return {name: tuple(rest) for name, *rest in rows}

    wait_until(lambda: set(sent()) >= set(COLLECTOR_BY_NAME) - LATER)
    shapes = {
        Kind.GAUGE: ("gauge", "unspecified", False),
        Kind.COUNTER: ("sum", "cumulative", True),
        Kind.UPDOWN: ("sum", "cumulative", False),
        Kind.HISTOGRAM: ("histogram", "cumulative", False),
    }
    expected = {m.name: (*shapes[m.kind], m.unit, m.description) for m in COLLECTOR_METRICS}
    assert {name: about for name, about in sent().items() if expected[name] != about} == {}


def test_its_attributes_are_those_of_the_list(reporting: Reporting) -> None:
    wait_until(lambda: bool(reporting.newest("novacron.collector.store.parts")))
    rows = reporting.store.query(
        "SELECT DISTINCT metric, mapKeys(attributes) FROM series WHERE entity = {entity:String}",
        parameters={"entity": reporting.entity},
    ).result_rows
    assert {
        name for name, keys in rows if tuple(keys) != COLLECTOR_BY_NAME[name].attributes
    } == set()


def test_figures_of_the_process_and_of_the_store_are_those_of_the_system(
    reporting: Reporting,
) -> None:
    wait_until(lambda: bool(reporting.newest("novacron.collector.store.parts")))
    resident = _status_kib(reporting.process.pid, "VmRSS") * 1024
    assert reporting.newest("process.memory.usage")[""] == pytest.approx(resident, rel=0.3)
    assert 0 < reporting.newest("process.cpu.time")["user"] < 120
    assert reporting.newest("process.thread.count")[""] >= 4
    assert 0 < reporting.newest("novacron.collector.loop.delay")[""] < 60
    parts = reporting.newest("novacron.collector.store.parts")
    assert parts["arrivals"] >= 1
    assert set(parts) == set(reporting.newest("novacron.collector.store.size"))
    assert reporting.newest("novacron.collector.store.free")[""] > 0


def _status_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def test_it_is_one_service_through_restarts(
    store_process: StoreProcess, store: Client, tmp_path: Path
) -> None:
    starts: list[Reporting] = []
    for _ in range(2):
        with collector(store_process, tmp_path, SOON) as process:
            starts.append(Reporting(process, tmp_path, store))
            wait_until(lambda: bool(starts[-1].newest("process.uptime")))
    entity = starts[0].entity
    assert starts[1].entity == entity
    (row,) = store.query(
        "SELECT entity_type, resource FROM entities WHERE entity = {entity:String}",
        parameters={"entity": entity},
    ).result_rows
    assert row[0] == "service"
    assert set(row[1]) == {"service.name", "service.instance.id", "service.version", "host.name"}


def test_an_identity_is_made_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    first = instance_id(tmp_path)
    assert instance_id(tmp_path) == first == str(UUID(first))
    (tmp_path / "instance-id").write_bytes(b"\xff<script>\n")
    assert instance_id(tmp_path) not in (first, "")
    assert instance_id(tmp_path / "nowhere"), "a folder that takes none stops nothing"


def test_a_store_that_hangs_hangs_nobody(tmp_path: Path) -> None:
    asked, never = threading.Event(), threading.Event()

    def hang() -> Client:
        asked.set()
        never.wait()
        raise AssertionError

    figures = StoreFigures(hang, lambda: True, 0.01)
    figures.start()
    assert asked.wait(10)
    assert figures.newest() is None
    figures.stop()
    never.set()


def test_a_bucket_holds_what_is_not_over_its_bound() -> None:
    histogram = Histogram([0.1, 0.2])
    for value in (0.05, 0.1, 0.15, 0.2, 7):
        histogram.observe(value)
    counted = histogram.counted()
    assert counted.buckets == (2, 2, 1)
    assert counted.count == 5
    assert counted.sum == pytest.approx(7.5)
    assert list(SECONDS) == sorted(set(SECONDS))
