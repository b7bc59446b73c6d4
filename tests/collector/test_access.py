"""A collector that lets nobody in without a credential: REST and the live feed, over sockets."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from collector_process import CollectorProcess, collector
from novacron_contract.access import SYSTEM, Role
from novacron_store.state import ApiTokens, Audit, Caller, Change, Users, open_state
from novacron_store.state.audit import Wanted
from novacron_store.state.passwords import Passwords
from novacron_ui.cli import live_url
from novacron_ui.collector import OwnToken
from novacron_ui.live.relay import Relay
from novacron_ui.query.notices import Notices
from principals import signed_in
from store_process import StoreProcess

PASSWORD = "correct horse battery"
CLOSED = "[access]\nanonymous = false\nlogins_per_minute = 10000\n"


@dataclass(frozen=True)
class World:
    process: CollectorProcess
    state: Engine
    folder: Path

    def feed(self, headers: dict[str, str]) -> ClientConnection:
        url = f"{self.process.api.replace('http', 'ws')}/v1/live"
        return connect(url, additional_headers=headers, proxy=None)


@pytest.fixture(scope="module")
def world(store_process: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("closed")
    with collector(store_process, folder, CLOSED) as process:
        state = open_state(f"sqlite:///{folder}/state.db")
        yield World(process, state, folder)
        state.dispose()


@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer nct_{'a' * 43}"}])
def test_the_live_feed_is_for_who_is_let_in(world: World, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        world.feed(headers)
    answer = refused.value.response
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_who_has_no_grant_sees_nothing(world: World) -> None:
    headers = signed_in(world.state, Role.VIEWER)
    with world.feed(headers):
        pass
    user = ApiTokens(world.state).all()[0].user
    Users(world.state).change(user, Change(grants=()), Caller(SYSTEM))

    def status() -> int:
        return httpx.get(f"{world.process.api}/v1/vms", headers=headers).status_code

    deadline = time.monotonic() + 5
    while status() != 403:
        assert time.monotonic() < deadline, "it was to be within seconds"
        time.sleep(0.1)
    with pytest.raises(InvalidStatus) as refused:
        world.feed(headers)
    assert refused.value.response.status_code == 403


def test_a_feed_ends_soon_after_its_token_is_revoked(world: World) -> None:
    headers = signed_in(world.state, Role.VIEWER)
    with world.feed(headers) as feed:
        feed.send('{"subscribe": {"metrics": ["vm.cpu.utilization"]}}')
        tokens = ApiTokens(world.state)
        tokens.revoke(tokens.all()[0].id, Caller(SYSTEM))
        with pytest.raises(ConnectionClosed) as ended:
            deque(iter(lambda: feed.recv(timeout=15), None), maxlen=0)
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, "does not hold" in ended.value.rcvd.reason) == (1008, True)


def test_the_ui_gets_in_with_a_token_of_a_file(world: World, tmp_path: Path) -> None:
    file = tmp_path / "ui-token"
    file.write_text(signed_in(world.state, Role.VIEWER)["Authorization"].split()[1] + "\n")
    api = world.process.api
    without, within = OwnToken(), OwnToken(file)

    def notices(token: OwnToken) -> str:
        with httpx.Client(timeout=5) as http:
            return str(Notices(api, http, token).current())

    async def connected(token: OwnToken, seconds: float) -> bool:
        relay = Relay(live_url(api), token)
        viewer = relay.join()
        task = asyncio.create_task(relay.run())
        try:
            async with asyncio.timeout(seconds):
                while '"live"' not in await viewer.next_frame():
                    pass
        except TimeoutError:
            return False
        finally:
            task.cancel()
        return True

    assert "does not let the web UI in" in notices(without)
    assert "does not let the web UI in" not in notices(within)
    assert asyncio.run(connected(within, 20))
    assert not asyncio.run(connected(without, 1))


def test_a_hundred_who_log_in_at_once_get_in_or_are_told_to_come_again(world: World) -> None:
    hashed = Passwords().hashed(PASSWORD)
    for number in range(10):
        Users(world.state).add(f"user-{number}", hashed, (), Caller(SYSTEM))
    limits = httpx.Limits(max_connections=200)
    with httpx.Client(base_url=world.process.api, timeout=60, limits=limits) as http:

        def enter(number: int) -> httpx.Response:
            body = {"name": f"user-{number % 10}", "password": PASSWORD}
            return http.post("/v1/sessions", json=body)

        def healthy() -> float:
            answer = http.get("/healthz")
            assert answer.status_code == 200
            return answer.elapsed.total_seconds()

        with ThreadPoolExecutor(100) as pool:
            entering = [pool.submit(enter, number) for number in range(100)]
            slowest = max(healthy() for _ in range(10))
        answers = [one.result() for one in entering]

    entered = [answer.json()["name"] for answer in answers if answer.status_code == 201]
    turned_away = [answer for answer in answers if answer.status_code == 429]
    assert len(entered) >= 5
    assert len(entered) + len(turned_away) == 100
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in turned_away)
    assert slowest < 10
    assert PASSWORD not in (world.folder / "log").read_text()


def test_a_proxy_says_for_whom_it_asks(world: World) -> None:
    def enter(password: str, source: str) -> int:
        body = {"name": "proxied", "password": password}
        headers = {"X-Forwarded-For": source}
        return httpx.post(
            f"{world.process.api}/v1/sessions", json=body, headers=headers
        ).status_code

    Users(world.state).add("proxied", Passwords().hashed(PASSWORD), (), Caller(SYSTEM))
    assert [enter("wrong", "203.0.113.7") for _ in range(5)] == [401] * 5
    assert enter(PASSWORD, "203.0.113.7") == 429
    assert enter(PASSWORD, "203.0.113.7, 203.0.113.8") == 201
    assert enter("wrong", "somewhere") == 401
    rows = Audit(world.state).rows(Wanted(action="session.create"))
    assert {row.source for row in rows if row.target == "user:proxied"} >= {
        "203.0.113.7",
        "203.0.113.8",
        "127.0.0.1",  # what is no address is not believed
    }


def test_what_was_denied_is_on_record_when_the_collector_is_stopped(
    store_process: StoreProcess, tmp_path: Path
) -> None:
    elsewhere = f'{CLOSED}proxies = ["192.0.2.0/24"]\n'
    headers = {"Authorization": "Bearer x", "X-Forwarded-For": "203.0.113.7"}  # by no proxy of ours
    with collector(store_process, tmp_path, elsewhere) as process:
        for _ in range(20):
            answer = httpx.get(f"{process.api}/v1/vms", headers=headers)
            assert answer.status_code == 401
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    rows = Audit(state).rows(Wanted(action="access.denied"))
    assert [row.detail.count('"repeated":19') for row in rows] == [1, 0]
    assert {row.source for row in rows} == {"127.0.0.1"}
    assert Audit(state).verify().bad_seq is None
    state.dispose()
