"""Who is let in where nobody may read without a user, and for how long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fleet_samples import SampleFleet
from live_feed import wait_until
from novacron_contract.access import PrincipalKind
from novacron_contract.errors import Unavailable
from novacron_contract.settings import parse
from novacron_ui.access.gate import CODE, PUBLIC
from novacron_ui.access.visitors import AWAY_S, FOR_S, Visitors
from novacron_ui.cli import build
from novacron_ui.collector import open_collector
from novacron_ui.settings import Settings as UiSettings
from principals import Clock
from ui_collector import PASSWORD, UiCollector
from ui_world import Settings, World, novacron_ui

PAGES = ("/", "/machine/x", "/collector", "/operations", "/anything")


def log_in(url: str, headers: Mapping[str, str] | None = None) -> httpx.Cookies:
    body = {"name": "ann", "password": PASSWORD}
    return httpx.post(f"{url}/api/login", json=body, headers=headers).cookies


@pytest.fixture
def server(world: World, closed: UiCollector) -> Starlette:
    told = {"state": {"url": world.state_url}, "collector": {"url": closed.url}}
    return build(parse(told, UiSettings, where="ui.toml"))


def routes(server: Starlette) -> Iterator[tuple[str, str]]:
    """Every method and path that this server knows, Dash's with it."""
    for route in server.routes:
        if isinstance(route, Route):
            yield from ((method, filled(route.path)) for method in route.methods or ())
    dash = cast(Any, next(of for of in server.routes if isinstance(of, Mount) and not of.path))
    flask: Flask = dash.app.app
    for rule in flask.url_map.iter_rules():
        yield from ((method, filled(rule.rule)) for method in rule.methods or ())


def filled(path: str) -> str:
    return re.sub(r"<[^>]+>|\{[^}]+\}", "x", path)


def is_open(path: str) -> bool:
    return path in PUBLIC or path.startswith(CODE)


def test_every_route_is_closed_but_the_login(server: Starlette) -> None:
    known = {(method, path) for method, path in routes(server) if not is_open(path)}
    paths = {path for _, path in known}
    assert {"/", "/_dash-layout", "/_dash-update-component", "/api/operations"} <= paths

    async def answers() -> list[tuple[str, str, httpx.Response]]:
        transport = httpx.ASGITransport(server)
        async with (
            server.router.lifespan_context(server),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
        ):
            return [(*each, await http.request(*each)) for each in sorted(known)]

    for method, path, answer in asyncio.run(answers()):
        assert answer.status_code == 401, (method, path)
        assert (
            method == "HEAD"
            or "Log in" in answer.text
            or answer.json()["error"] == "Unauthenticated"
        )
    assert {*PUBLIC, CODE} == {"/healthz", "/login", "/api/login", "/api/logout", "/assets/"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_a_login_at_the_same_address(closed_ui: str, path: str) -> None:
    answer = httpx.get(f"{closed_ui}{path}?a=1")
    assert answer.status_code == 401
    assert answer.headers["Cache-Control"] == "no-store"
    assert f'data-next="{path}?a=1"' in answer.text


def test_a_forged_cookie_is_nobody(closed_ui: str) -> None:
    for forged in ("nvs_" + "x" * 43, "nvs_", 'a"b', "x" * 5000):
        headers = {"Cookie": f"novacron-session={forged}".encode("latin-1")}
        raw = cast(Any, headers)
        assert httpx.get(f"{closed_ui}/_dash-layout", headers=raw).status_code == 401


def test_the_live_path_is_closed_without_a_session(closed_ui: str, fleet: SampleFleet) -> None:
    url = f"ws://{urlsplit(closed_ui).netloc}/ws"

    async def first_frame(cookie: str) -> str:
        headers = {"Cookie": cookie}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            return str(await socket.recv())

    with pytest.raises(InvalidStatus):
        asyncio.run(first_frame(""))
    session = log_in(closed_ui)["novacron-session"]
    assert "status" in asyncio.run(first_frame(f"novacron-session={session}"))


def test_the_ui_itself_is_known_by_its_token(closed_ui: str, closed: UiCollector) -> None:
    wait_until(lambda: closed.connections > 0)


def test_without_a_token_the_pages_say_what_to_do(
    world: World, closed: UiCollector, fleet: SampleFleet, tmp_path: Path
) -> None:
    with novacron_ui(world, closed.url, tmp_path) as url:
        assert httpx.get(f"{url}/", cookies=log_in(url)).status_code == 200
        wait_until(lambda: "set token_file under [collector]" in (tmp_path / "log").read_text())


def test_behind_a_proxy_everybody_logs_in_whatever_name_they_send(
    world: World, orders: UiCollector, fleet: SampleFleet, tmp_path: Path
) -> None:
    settings = Settings(ui='allowed_hosts = ["nova.example"]')
    with novacron_ui(world, orders.url, tmp_path, settings) as url:
        for host in ("localhost", "127.0.0.1:8050", "[::1]"):
            answer = httpx.get(f"{url}/api/operations", headers={"Host": host})
            assert answer.status_code == 403, host
            assert "allowed_hosts" in answer.text
        elsewhere = {"Host": "nova.example"}
        assert httpx.get(f"{url}/", headers=elsewhere).status_code == 401
        cookies = log_in(url, headers=elsewhere)
        assert httpx.get(f"{url}/", headers=elsewhere, cookies=cookies).status_code == 200


def test_a_loopback_name_among_the_allowed_ones_is_answered_with_a_login(
    world: World, orders: UiCollector, fleet: SampleFleet, tmp_path: Path
) -> None:
    settings = Settings(ui='allowed_hosts = ["nova.example", "127.0.0.1"]')
    with novacron_ui(world, orders.url, tmp_path, settings) as url:
        assert httpx.get(f"{url}/").status_code == 401
        assert httpx.get(f"{url}/", cookies=log_in(url)).status_code == 200


def ask(visitors: Visitors, credential: str | None) -> Any:
    async def once() -> Any:
        visitors.collector = open_collector(visitors.collector.url)
        try:
            return await visitors.who(credential)
        finally:
            await visitors.collector.close()

    return asyncio.run(once())


def test_who_was_let_in_stays_so_for_a_while_when_the_collector_is_away(
    closed: UiCollector, closed_ui: str
) -> None:
    clock, session = Clock(), log_in(closed_ui)["novacron-session"]
    visitors = Visitors(open_collector(closed.url), clock.monotonic)
    assert ask(visitors, session).kind is PrincipalKind.USER
    assert ask(visitors, None) is None

    visitors.collector = open_collector("http://127.0.0.1:9")
    clock.wait(seconds=AWAY_S)
    assert ask(visitors, session).name == "ann"
    assert ask(visitors, None) is None
    clock.wait(seconds=FOR_S)
    with pytest.raises(Unavailable, match="does not answer"):
        ask(visitors, session)
    with pytest.raises(Unavailable):
        ask(visitors, "nvs_" + "x" * 43)


def test_a_collector_that_never_answered_closes_every_page(
    world: World, fleet: SampleFleet, tmp_path: Path
) -> None:
    with novacron_ui(world, "http://127.0.0.1:9", tmp_path) as url:
        page, data = httpx.get(f"{url}/"), httpx.get(f"{url}/_dash-layout")
    assert page.status_code == data.status_code == 503
    assert "This page tries again by itself" in page.text
    assert "does not answer" in data.json()["message"]
