"""From one NovaCron to another, as processes: exactly what the filter lets through arrives there,
whoever is killed on the way. What arrived is asked by SQL."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from collector_process import CollectorProcess
from collector_program import CollectorProgram, collector_program
from free_ports import free_port
from live_feed import wait_until
from store_process import StoreProcess
from tcp_peers import hang, serving

PROTOBUF = {"content-type": "application/x-protobuf"}
_KILLS = 5

Point = tuple[str, str, int]  # metric, VM, value


@dataclass
class Sender:
    """Sends numbered points, each request until it is acknowledged."""

    url: str
    tag: str
    acknowledged: set[Point] = field(default_factory=set)
    slowest_s: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)
    _next: int = 0
    # In an hour that is not closed: late samples of one that is are seen a minute later.
    _start_ns: int = field(default_factory=lambda: time.time_ns() - 60 * 10**9)

    def send(self, requests: int) -> None:
        with httpx.Client(timeout=10) as http:
            for _ in range(requests):
                self._send(http)

    def send_until_ended(self) -> None:
        with httpx.Client(timeout=10) as http:
            while not self.ended.is_set():
                self._send(http)

    def _send(self, http: httpx.Client) -> None:
        body, points = self._request()
        deadline = time.monotonic() + 60
        while not self._taken(http, body):
            assert time.monotonic() < deadline, "it is not taken"
        self.acknowledged |= points

    def _taken(self, http: httpx.Client, body: bytes) -> bool:
        started = time.monotonic()
        try:
            taken = http.post(f"{self.url}/v1/metrics", content=body, headers=PROTOBUF).is_success
        except httpx.HTTPError:
            taken = False
        if taken:
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        else:
            time.sleep(0.02)  # it is being started again
        return taken

    def _request(self) -> tuple[bytes, set[Point]]:
        data, points = MetricsData(), set()
        for vm in ("web-1", "web-2", "db-1"):
            group = data.resource_metrics.add()
            for key, text in (("vm.id", f"{vm}.{self.tag}"), ("vm.name", vm)):
                group.resource.attributes.add(key=key).value.string_value = text
            scope = group.scope_metrics.add()
            for metric in (f"vm.cpu.{self.tag}", f"vm.noise.{self.tag}", f"app.{self.tag}"):
                self._next += 1
                at = self._start_ns + self._next * 10**6
                gauge = scope.metrics.add(name=metric).gauge
                gauge.data_points.add(as_int=self._next, time_unix_nano=at)
                points.add((metric, vm, self._next))
        return bytes(data.SerializeToString()), points


def destination(url: str, name: str = "there", more: str = "") -> str:
    return f'[[forward]]\nname = "{name}"\nurl = "{url}"\n{more}\n'


ONLY_WEB = 'metrics = ["vm.*"]\nexclude_metrics = ["*.noise.*"]\nwhere = { "vm.name" = "web-*" }'


def only_web(points: set[Point]) -> set[Point]:
    return {p for p in points if p[0].startswith("vm.cpu.") and p[1].startswith("web-")}


@pytest.fixture(scope="module")
def sql(store_process: StoreProcess) -> Iterator[Client]:
    client = store_process.service()
    yield client
    client.close()


def arrived(sql: Client, tag: str) -> list[Point]:
    """Every row, so that one that counts twice is seen."""
    query = "SELECT metric, entity, value FROM samples WHERE endsWith(metric, {tag:String})"
    rows: Any = sql.query(query, parameters={"tag": tag}).result_rows
    return [(metric, entity.partition(".")[0], int(value)) for metric, entity, value in rows]


def everything_is_sent(source: CollectorProgram) -> None:
    wait_until(lambda: source.counter("forward_there_waiting_bytes") == 0, 60)


def wait_for_rows(sql: Client, tag: str, expected: set[Point]) -> None:
    """Rows are visible a moment after they were acknowledged; that there are no more of them is
    looked at when all are there."""
    wait_until(lambda: len(arrived(sql, tag)) >= len(expected), 30)
    found = arrived(sql, tag)
    assert set(found) == expected
    assert len(found) == len(expected), "some count twice"


@pytest.mark.parametrize(("protocol", "compression"), [("http", "gzip"), ("grpc", "none")])
def test_another_novacron_receives_exactly_what_the_filter_lets_through(
    tmp_path: Path,
    collector_process: CollectorProcess,
    sql: Client,
    protocol: str,
    compression: str,
) -> None:
    target = collector_process
    url = {"http": f"{target.http}/v1/metrics", "grpc": f"grpc://{target.grpc}"}[protocol]
    more = destination(url, more=f'{ONLY_WEB}\ncompression = "{compression}"')
    with collector_program(tmp_path / "source", more=more) as source:
        sender = Sender(source.http, uuid.uuid4().hex)
        sender.send(30)
        everything_is_sent(source)
        wait_for_rows(sql, sender.tag, only_web(sender.acknowledged))
        assert source.counter("forward_there_points") == 30 * 2


def test_what_waits_for_a_target_that_was_killed_gets_there_when_it_is_back(
    tmp_path: Path, store_process: StoreProcess, sql: Client
) -> None:
    with collector_program(tmp_path / "target", store_process) as target:
        with collector_program(tmp_path / "source", more=destination(target.http)) as source:
            sender = Sender(source.http, uuid.uuid4().hex)
            sender.send(10)
            target.kill()
            sender.send(10)
            wait_until(lambda: source.counter("forward_there_failed") > 0)
            target.start()
            sender.send(10)
            everything_is_sent(source)
        wait_for_rows(sql, sender.tag, sender.acknowledged)
        assert "forwarding to there: it answers after" in source.log


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1])
def test_kills_of_the_forwarding_collector_lose_and_double_nothing(
    tmp_path: Path, collector_process: CollectorProcess, sql: Client, seed: int
) -> None:
    dice = random.Random(seed)
    more = destination(f"grpc://{collector_process.grpc}", more=ONLY_WEB)
    with collector_program(tmp_path / "source", more=more) as source:
        senders = [Sender(source.http, uuid.uuid4().hex) for _ in range(3)]
        threads = [threading.Thread(target=one.send_until_ended) for one in senders]
        for thread in threads:
            thread.start()
        for _ in range(_KILLS):
            before = [len(one.acknowledged) for one in senders]
            wait_until(lambda: all(map(has_gone_on, senders, before)), 60)  # noqa: B023
            time.sleep(dice.uniform(0.0, 0.3))  # anywhere within what it does
            source.kill()
            source.start()
        for one, thread in zip(senders, threads, strict=True):
            one.ended.set()
            thread.join()
        everything_is_sent(source)
        for one in senders:
            wait_for_rows(sql, one.tag, only_web(one.acknowledged))


def has_gone_on(sender: Sender, before: int) -> bool:
    return len(sender.acknowledged) > before


def test_a_dead_and_a_hanging_destination_harm_no_sender_and_no_other_destination(
    tmp_path: Path, collector_process: CollectorProcess, sql: Client
) -> None:
    with serving(hang) as port:
        more = "".join(
            [
                destination(collector_process.http),
                destination(f"http://127.0.0.1:{free_port()}", "dead"),
                destination(f"http://127.0.0.1:{port}", "hanging", 'timeout = "60s"'),
            ]
        )
        with collector_program(tmp_path / "source", more=more) as source:
            sender = Sender(source.http, uuid.uuid4().hex)
            sender.send(100)
            everything_is_sent(source)
            wait_for_rows(sql, sender.tag, sender.acknowledged)
            assert sender.slowest_s < 5
            assert source.counter("requests_failed") == 0
            assert source.counter("forward_dead_waiting_bytes") > 0
            assert source.counter("forward_hanging_waiting_bytes") > 0
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 30, "a destination that hangs holds up no stop"


def test_a_stop_sends_what_waits_first(
    tmp_path: Path, collector_process: CollectorProcess, sql: Client
) -> None:
    more = destination(collector_process.http)
    with collector_program(tmp_path / "source", more=more) as source:
        sender = Sender(source.http, uuid.uuid4().hex)
        sender.send(20)
        assert source.stop() == 0
    assert not list((tmp_path / "source/wal/forward/there").glob("*.seg"))
    wait_for_rows(sql, sender.tag, sender.acknowledged)


def test_what_an_operator_is_to_know_of_forwarding_is_a_notice(tmp_path: Path) -> None:
    more = destination("http://127.0.0.1:9", "former")
    with collector_program(tmp_path / "source", more=more) as source:
        Sender(source.http, "x").send(1)
        source.stop()
        source.more = ""
        source.start()
        told = [one["message"] for one in httpx.get(f"{source.api}/v1/status").json()["notices"]]
    assert any(message.startswith("What waits for former") for message in told), told
