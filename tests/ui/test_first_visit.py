"""The first visit to a novacron-ui that has just started."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from browser import Open
from fleet_samples import SampleFleet
from live_feed import LiveFeed
from novacron_ui.cli import QUERY_TIMEOUT_S
from ui_world import World, novacron_ui


def fleet_of(url: str) -> dict[str, Any]:
    """The snapshot that Fleet's page brings; the first ones may have none on a busy machine."""
    layouts = (httpx.get(f"{url}/_dash-layout", headers={"Referer": f"{url}/"}) for _ in range(100))
    return next(filter(None, (snapshot_in(layout.json()) for layout in layouts)))


def snapshot_in(page: Any) -> dict[str, Any] | None:
    match page:
        case {"id": "fleet-snapshot", "data": {"text": str(text)}}:
            found: dict[str, Any] = json.loads(text)
            return found
        case dict():
            return next(filter(None, map(snapshot_in, page.values())), None)
        case list():
            return next(filter(None, map(snapshot_in, page)), None)
    return None


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A store that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def on(world: World, store: socket.socket) -> World:
    return replace(world, url=f"http://127.0.0.1:{store.getsockname()[1]}")


def test_the_numbers_were_read_before_anybody_came(
    world: World, feed: LiveFeed, fleet: SampleFleet, tmp_path: Path
) -> None:
    with novacron_ui(world, feed.url, tmp_path) as url:
        ready = time.time() * 1000
        snapshot = fleet_of(url)

    assert "db-1" in snapshot["machines"]["name"]
    assert snapshot["made"] < ready


@pytest.mark.browser
def test_a_store_that_does_not_answer_delays_no_page(
    world: World, feed: LiveFeed, silent: socket.socket, tmp_path: Path, visit: Open
) -> None:
    with novacron_ui(on(world, silent), feed.url, tmp_path) as url:
        page = visit(url).page
        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_be_visible()
        silent.close()  # else the server, when stopped, waits for the visitor's answer


def test_a_store_that_does_not_answer_delays_no_stop(
    world: World, feed: LiveFeed, silent: socket.socket, tmp_path: Path
) -> None:
    with novacron_ui(on(world, silent), feed.url, tmp_path):
        asked = time.monotonic()

    assert time.monotonic() - asked < QUERY_TIMEOUT_S / 2


@pytest.mark.browser
def test_nobody_is_called_silent_because_the_numbers_are_old(ui: str, visit: Open) -> None:
    states = """async (age) => {
        const { Machines, stateOf } = await import("/assets/machines.js");
        const [made, now] = [Date.now() - age, Date.now()];
        const machine = (id, seen) => ({
            id, name: id, kind: "host", host: "", seen, staleAfter: 30000 });
        const rows = [machine("reports", made - 5000), machine("silent", made - 40000)];
        const columns = Object.fromEntries(
            Object.keys(rows[0]).map((name) => [name, rows.map((row) => row[name])]));
        const machines = new Machines();
        machines.load(columns, age);
        return [...machines.all.values()].map((each) => stateOf(each, now));
    }"""

    assert visit(ui).page.evaluate(states, 50_000) == ["reporting", "silent"]
