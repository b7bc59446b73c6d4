"""A store that is away and a log that is full show in the collector's own figures, afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from live_feed import wait_until
from novacron_collector.admission import Room
from novacron_collector.inventory import InventoryKeeper
from novacron_collector.live.hub import Hub
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.own_metrics.process import Uptime
from novacron_collector.own_metrics.readings import Parts
from novacron_collector.own_metrics.reporter import Reporter
from novacron_collector.own_metrics.store_figures import StoreFigures
from novacron_collector.pipeline import Pipeline
from novacron_collector.receivers.body import BodyLimits
from novacron_collector.receivers.http import PROTOBUF, create_app
from novacron_collector.receivers.intake import Intake
from novacron_collector.store import Store
from novacron_collector.writing import WriterThread
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Inventory, open_state
from novacron_store.telemetry.retention import Retention
from store_process import StoreProcess
from wal_folder import MIB, Wal, limits, opened

BODIES = BodyLimits(wire=16 * MIB, inflated=16 * MIB, seconds=60)


@dataclass
class Running:
    """A collector's parts in this process, whose store is away while `away` is true."""

    store_process: StoreProcess
    wal: Wal
    pipeline: Pipeline
    entity: str
    away: bool = True
    http: httpx.AsyncClient | None = None

    def connect(self) -> Client:
        if self.away:
            raise Unavailable("the telemetry store does not answer")
        return self.store_process.service()

    def values(self, metric: str, **attributes: str) -> list[float]:
        """As they are stored, by time."""
        client = self.store_process.service()
        try:
            rows = client.query(
                "SELECT value FROM metrics_raw WHERE metric = {metric:String} "
                "AND entity = {entity:String} AND (empty({reason:String}) "
                "OR attributes['novacron.reason'] = {reason:String}) ORDER BY ts",
                parameters={"metric": metric, "entity": self.entity, "reason": "", **attributes},
            ).result_rows
        finally:
            client.close()
        return [row[0] for row in rows]

    async def post(self, points: int) -> int:
        """The status that a sender of so many new points is told."""
        assert self.http is not None
        answer = await self.http.post("/v1/metrics", content=gauges(points))
        return answer.status_code


def gauges(points: int) -> bytes:
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name=f"m{uuid4().hex}")
    for number in range(points):
        metric.gauge.data_points.add(time_unix_nano=time.time_ns() + number, as_double=number)
    return bytes(data.SerializeToString())


@asynccontextmanager
async def running(
    store_process: StoreProcess, folder: Path, size: float = 64 * MIB
) -> AsyncIterator[Running]:
    wal, instance = opened(folder, limits(size=size)), uuid4().hex
    decoder = Decoder(PointLimits(), 7 * 86400, 100_000)
    pipeline = Pipeline(decoder, wal.log, wal.ledger, wal.poison, 0.01)
    made = Running(store_process, wal, pipeline, f"novacron-collector/{instance}")
    writer = WriterThread(
        wal.log, wal.ledger, Store(made.connect, Retention()), pipeline.describe_again
    )
    intake = Intake(pipeline, Room(256 * MIB, 100))
    figures = StoreFigures(made.connect, lambda: not made.away, 1.0)
    hub, uptime = Hub(1000, 10), Uptime()
    state = open_state(f"sqlite:///{folder}/state.db")
    inventory = InventoryKeeper(Inventory(state), Agents(state))  # which nothing is told
    parts = Parts(
        pipeline.counts, intake.refusals, intake.room, decoder, hub, inventory,
        wal.log, wal.ledger, writer, figures, uptime,
    )  # fmt: skip
    about = {"service.name": "novacron-collector", "service.instance.id": instance}
    reporter = Reporter(pipeline, parts, about, every_s=0.2)
    transport = httpx.ASGITransport(create_app(intake, BODIES, json_limit=MIB))
    writer.start()
    task = asyncio.create_task(pipeline.run())
    reporter.start(asyncio.get_running_loop())
    async with httpx.AsyncClient(
        transport=transport, base_url="http://collector", headers={"content-type": PROTOBUF}
    ) as made.http:
        try:
            yield made
        finally:
            await asyncio.to_thread(reporter.stop)
            pipeline.drain()
            await task
            pipeline.close()
            await asyncio.to_thread(writer.stop)
            wal.poison.close()
            wal.log.close()


async def until(is_true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, is_true)


def test_a_store_that_was_away_shows_as_lag_that_ends(
    store_process: StoreProcess, tmp_path: Path
) -> None:
    async def scenario() -> Running:
        async with running(store_process, tmp_path) as collector:
            assert await collector.post(500) == 200
            await until(lambda: collector.wal.log.state().oldest_s > 4)
            collector.away = False
            await until(lambda: _has_ended(collector.values("novacron.collector.log.lag")))
            return collector

    collector = asyncio.run(scenario())
    assert max(collector.values("novacron.collector.log.lag")) > 4
    waiting = collector.values("novacron.collector.log.size")
    assert max(waiting) > 10_000
    assert max(collector.values("novacron.collector.log.segments")) >= 1
    points = collector.values("novacron.collector.point.count")
    assert points[-1] == 500, "nothing was lost, and nothing counted twice"


def _has_ended(lags: list[float]) -> bool:
    return bool(lags) and lags[-1] < max(lags) / 2


def test_a_log_that_was_full_shows_as_refusals_by_that_name(
    store_process: StoreProcess, tmp_path: Path
) -> None:
    async def scenario() -> tuple[Running, int]:
        async with running(store_process, tmp_path, size=MIB) as collector:
            refused = 0
            while refused < 3:
                refused += await collector.post(2000) == 429
            await until(lambda: "is full" in collector.wal.log.problem)
            assert await collector.post(20_000) == 429
            collector.away = False
            await until(lambda: collector.wal.log.state().bytes < MIB // 2)
            metric, reason = "novacron.collector.request.refused", {"reason": "log_full"}
            await until(lambda: collector.values(metric, **reason)[-1:] == [refused + 1])
            return collector, refused + 1

    collector, refused = asyncio.run(scenario())
    assert collector.values("novacron.collector.request.refused", reason="busy")[-1] == 0
    assert collector.values("novacron.collector.request.refused", reason="log_full")[-1] == refused
