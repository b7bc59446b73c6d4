"""Fleet with nothing to show, in a real browser."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser import Open
from free_ports import free_port
from live_feed import LiveFeed
from novacron_store.telemetry import migrations
from novacron_ui.cli import QUERY_TIMEOUT_S
from tcp_peers import hang, serving
from ui_world import World, novacron_ui

pytestmark = pytest.mark.browser


@pytest.fixture
def anybody_reads(feed: LiveFeed) -> str:
    """The URL of a collector that says so."""
    return feed.url


@pytest.fixture
def unmigrated(world: World) -> Iterator[World]:
    """The store answers, and Fleet cannot be read from it."""
    broken = replace(world, database=f"{world.database}_later")
    yield broken
    client = broken.client()
    client.command(f"DROP DATABASE IF EXISTS {broken.database}", use_database=False)
    client.close()


def test_an_empty_fleet_says_how_to_start_an_agent(
    world: World, anybody_reads: str, tmp_path: Path, visit: Open
) -> None:
    with novacron_ui(world, anybody_reads, tmp_path) as url:
        page = visit(url).page
        expect(page.get_by_text("No machine reports yet")).to_be_visible()
        expect(page.get_by_text("novacron-agent --config agent.toml")).to_be_visible()


def test_a_collector_that_went_away_is_told_and_the_pages_stay(
    world: World, tmp_path: Path, visit: Open
) -> None:
    feed = LiveFeed(free_port())
    feed.start()
    with novacron_ui(world, feed.url, tmp_path) as url:
        page = visit(url).page
        expect(page.get_by_text("No machine reports yet")).to_be_visible()
        feed.stop()
        page.reload()
        expect(page.locator(".notice")).to_contain_text("check that novacron-collector runs")
        expect(page.get_by_text("No machine reports yet")).to_be_visible()


def test_a_store_that_is_away_is_explained(
    world: World, anybody_reads: str, tmp_path: Path, visit: Open
) -> None:
    away = replace(world, url=f"http://127.0.0.1:{free_port()}")
    with novacron_ui(away, anybody_reads, tmp_path) as url:
        page = visit(url).page
        expect(page.get_by_role("alert")).to_contain_text("The store does not answer")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_fleet_recovers_by_itself(
    unmigrated: World, anybody_reads: str, tmp_path: Path, visit: Open
) -> None:
    with novacron_ui(unmigrated, anybody_reads, tmp_path) as url:
        page = visit(url).page
        expect(page.get_by_role("alert")).to_contain_text("This cannot be shown")
        client = unmigrated.client()
        migrations.migrate(client)
        client.close()
        expect(page.get_by_text("No machine reports yet")).to_be_visible(timeout=15_000)


def test_a_stop_waits_for_no_page_whose_store_does_not_answer(
    world: World, anybody_reads: str, tmp_path: Path, visit: Open
) -> None:
    asked = threading.Event()

    def hang_and_tell(connection: socket.socket) -> None:
        asked.set()
        hang(connection)

    with ExitStack() as running, serving(hang_and_tell) as silent:
        hanging = replace(world, url=f"http://127.0.0.1:{silent}")
        url = running.enter_context(novacron_ui(hanging, anybody_reads, tmp_path))
        asked.clear()  # by the server itself, which is its own first visitor
        visit(f"{url}/collector")
        assert asked.wait(30)
        begun = time.monotonic()

        running.close()  # it says that the exit code is 0

        assert time.monotonic() - begun < QUERY_TIMEOUT_S - 5
