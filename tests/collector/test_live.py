"""The live feed: the newest known values first, then what is stored, as asked for."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from collector_process import CollectorProcess
from noon import NOON
from novacron_collector.live.hub import Hub, Subscription
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_contract.errors import Unavailable

NOW_S = NOON - 41_600
CPU = "vm.cpu.utilization"


def body(vm: str, values: dict[str, float], at_ns: int) -> bytes:
    data = MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.add(key="vm.id").value.string_value = vm
    for name, value in values.items():
        metric = group.scope_metrics.add().metrics.add(name=name)
        point = metric.gauge.data_points.add(time_unix_nano=at_ns, as_double=value)
        point.attributes.add(key="unit").value.string_value = "x"
    return bytes(data.SerializeToString())


@pytest.fixture
def feed(collector_process: CollectorProcess) -> Iterator[ClientConnection]:
    with connect(collector_process.api.replace("http", "ws") + "/v1/live", proxy=None) as socket:
        yield socket


def subscribe(socket: ClientConnection, metrics: list[str], entities: list[str] | None) -> None:
    socket.send(json.dumps({"subscribe": {"metrics": metrics, "entities": entities}}))


def test_a_subscriber_gets_the_newest_value_and_then_every_new_one(
    collector_process: CollectorProcess, feed: ClientConnection
) -> None:
    vm, now = f"vm-{uuid.uuid4()}", time.time_ns()

    def send(value: float, at: int) -> None:
        content = body(vm, {CPU: value, "vm.other": 1.0}, at)
        url = f"{collector_process.http}/v1/metrics"
        headers = {"content-type": "application/x-protobuf"}
        assert httpx.post(url, content=content, headers=headers).status_code == 200

    send(0.25, now)
    time.sleep(0.3)  # an answer says: committed; publishing follows
    subscribe(feed, [CPU], [vm])
    first = json.loads(feed.recv(5))
    send(0.5, now + 10**9)
    second = json.loads(feed.recv(5))

    ms = now // 10**6
    assert first["points"] == [[CPU, vm, {"unit": "x"}, ms, 0.25]]
    assert second["points"] == [[CPU, vm, {"unit": "x"}, ms + 1000, 0.5]]
    assert [frame["seq"] for frame in (first, second)] == [1, 2]
    assert [frame["dropped"] for frame in (first, second)] == [0, 0]


@pytest.mark.parametrize("text", ["{", "{}", '{"subscribe": {"metrics": [1]}}', '{"subscribe": 1}'])
def test_what_is_no_subscription_ends_the_connection_with_a_reason(
    feed: ClientConnection, text: str
) -> None:
    feed.send(text)

    with pytest.raises(ConnectionClosed) as closed:
        feed.recv(5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert closed.value.rcvd.reason


@pytest.mark.parametrize(
    ("name", "origin"),
    [("127.0.0.1", Origin("http://evil.example")), ("evil.example", None)],
)
def test_a_page_from_elsewhere_does_not_get_the_feed(
    collector_process: CollectorProcess, name: str, origin: Origin | None
) -> None:
    """Neither from its own origin, nor by letting its own name point here."""
    port = int(collector_process.api.rsplit(":", 1)[1])
    url = f"ws://{name}:{port}/v1/live"
    there = ("127.0.0.1", port)
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(url, address=there, origin=origin, proxy=None),
    ):
        pass


class Source:
    """Commits without a store: decoded, and published."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._decoder = Decoder(PointLimits(), 7 * 86400, 10_000)

    def commit(self, vm: str, value: float, second: int) -> None:
        content = body(vm, {CPU: value}, (NOW_S + second) * 10**9)
        self._hub.publish(self._decoder.decode([content], NOW_S).batch)


def test_a_slow_client_loses_the_oldest_frames_and_can_tell() -> None:
    async def scenario() -> list[dict[str, Any]]:
        hub = Hub(max_series=10, max_clients=1, max_frames=3)
        source, client = Source(hub), hub.join()
        hub.subscribe(client, Subscription(frozenset({CPU})))
        for second in range(10):
            source.commit("vm-1", float(second), second)
        return [json.loads(await client.next_frame()) for _ in range(3)]

    frames = asyncio.run(scenario())

    assert [frame["seq"] for frame in frames] == [8, 9, 10]
    assert {frame["dropped"] for frame in frames} == {7}
    assert [frame["points"][0][-1] for frame in frames] == [7.0, 8.0, 9.0]


def test_a_value_older_than_the_newest_is_no_news() -> None:
    async def scenario() -> list[Any]:
        hub = Hub(max_series=10, max_clients=1)
        source, client = Source(hub), hub.join()
        hub.subscribe(client, Subscription(frozenset({CPU})))
        source.commit("vm-1", 1.0, 10)
        source.commit("vm-1", 2.0, 5)
        source.commit("vm-1", 3.0, 11)
        frames = [json.loads(await client.next_frame()) for _ in range(2)]
        return [frame["points"][0][-1] for frame in frames]

    assert asyncio.run(scenario()) == [1.0, 3.0]


def test_only_what_was_asked_for_is_sent() -> None:
    async def scenario() -> list[Any]:
        hub = Hub(max_series=10, max_clients=2)
        source, one, every = Source(hub), hub.join(), hub.join()
        hub.subscribe(one, Subscription(frozenset({CPU}), frozenset({"vm-2"})))
        hub.subscribe(every, Subscription(frozenset({"vm.none"})))
        source.commit("vm-1", 1.0, 1)
        source.commit("vm-2", 2.0, 1)
        hub.subscribe(every, Subscription(frozenset({CPU})))
        told = [json.loads(await client.next_frame())["points"] for client in (one, every)]
        return [sorted(point[1] for point in points) for points in told]

    assert asyncio.run(scenario()) == [["vm-2"], ["vm-1", "vm-2"]]


def test_series_and_clients_beyond_the_limits_are_left_out() -> None:
    async def scenario() -> int:
        hub = Hub(max_series=2, max_clients=1)
        source = Source(hub)
        for vm in range(5):
            source.commit(f"vm-{vm}", 1.0, 1)
        client = hub.join()
        with pytest.raises(Unavailable, match="1 clients"):
            hub.join()
        hub.subscribe(client, Subscription(frozenset({CPU})))
        points = json.loads(await client.next_frame())["points"]
        hub.leave(client)
        hub.join()
        return len(points)

    assert asyncio.run(scenario()) == 2


def test_a_fleet_s_first_look_comes_in_frames_that_a_client_takes() -> None:
    async def scenario() -> list[str]:
        hub = Hub(max_series=10_000, max_clients=1, max_frames=1000)
        decoder = Decoder(PointLimits(), 7 * 86400, 10_000)
        bodies = [body(f"vm-{n}", {CPU: 1.0}, NOW_S * 10**9) for n in range(5000)]
        hub.publish(decoder.decode(bodies, NOW_S).batch)
        client = hub.join()
        hub.subscribe(client, Subscription(frozenset({CPU})))
        frames, points = [], 0
        while points < 5000:
            frames.append(await client.next_frame())
            points += len(json.loads(frames[-1])["points"])
        return frames

    frames = asyncio.run(scenario())

    assert len(frames) > 1
    assert max(map(len, frames)) < 2**20
