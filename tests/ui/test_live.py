"""The live path: one subscription at the collector, shared by every browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from free_ports import free_port
from live_feed import LiveFeed, now_ms, wait_until
from novacron_contract.errors import BadMessage
from novacron_ui.live.relay import Relay
from novacron_ui.live.topics import Topic, parse_watch
from novacron_ui.live.viewer import QUEUE_FRAMES, Viewer

CPU, MEMORY = "vm.cpu.utilization", "vm.memory.usage"
EVERY_CPU = (Topic(frozenset({CPU}), None),)
WEB_MEMORY = (Topic(frozenset({MEMORY}), frozenset({"web"})),)


@asynccontextmanager
async def relaying(feed: LiveFeed) -> AsyncIterator[Relay]:
    relay = Relay(f"ws://127.0.0.1:{feed.port}/v1/live")
    feed.subscriptions.clear()
    task = asyncio.create_task(relay.run())
    yield relay
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def play(feed: LiveFeed, scene: Callable[[Relay], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), relaying(feed) as relay:
            await scene(relay)

    asyncio.run(run())


async def until(is_true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, is_true)


async def points(viewer: Viewer) -> list[Any]:
    """Those of the next frame that has some."""
    while True:
        frame = json.loads(await viewer.next_frame())
        if "points" in frame:
            return list(frame["points"])


async def push(feed: LiveFeed, *made: Any) -> None:
    await asyncio.to_thread(feed.push, *made)


def test_browsers_share_one_subscription_and_get_their_share(feed: LiveFeed) -> None:
    async def scene(relay: Relay) -> None:
        one, other = relay.join(), relay.join()
        relay.watch(one, EVERY_CPU)
        relay.watch(other, WEB_MEMORY)
        await until(lambda: feed.subscribed(CPU) and feed.subscribed(MEMORY))
        cpu = [CPU, "db", {}, now_ms(), 0.5]
        memory = [MEMORY, "web", {}, now_ms(), 7]
        await push(feed, cpu, [MEMORY, "db", {}, now_ms(), 8], memory)

        assert await points(one) == [cpu]
        assert await points(other) == [memory]

    before = feed.connections
    play(feed, scene)
    assert feed.connections == before + 1


def test_a_browser_that_joins_gets_the_newest_known_values(feed: LiveFeed) -> None:
    async def scene(relay: Relay) -> None:
        first = relay.join()
        relay.watch(first, EVERY_CPU)
        await until(lambda: feed.subscribed(CPU))
        newest = [CPU, "db", {}, now_ms(), 0.75]
        await push(feed, [CPU, "db", {}, now_ms() - 1000, 0.5], newest)
        await points(first)

        second = relay.join()
        relay.watch(second, EVERY_CPU)
        assert await points(second) == [newest]

    play(feed, scene)


def test_the_relay_comes_back_and_subscribes_again() -> None:
    feed = LiveFeed(free_port())
    feed.start()

    async def scene(relay: Relay) -> None:
        viewer = relay.join()
        relay.watch(viewer, EVERY_CPU)
        await until(lambda: feed.subscribed(CPU))
        await asyncio.to_thread(feed.stop)
        feed.subscriptions.clear()
        await asyncio.to_thread(feed.start)
        await until(lambda: feed.subscribed(CPU))
        statuses: list[str] = []
        while statuses[-2:] != ["reconnecting", "live"]:
            frame = json.loads(await viewer.next_frame())
            statuses += [frame["status"]] if "status" in frame else []

    try:
        play(feed, scene)
    finally:
        feed.stop()


def test_a_slow_browser_loses_the_oldest_frames_and_can_tell() -> None:
    async def scene() -> None:
        viewer = Viewer(EVERY_CPU)
        for number in range(QUEUE_FRAMES + 3):
            viewer.offer([[CPU, "db", {}, number, 0.5]], number)
        first = json.loads(await viewer.next_frame())
        frames = [json.loads(await viewer.next_frame()) for _ in range(QUEUE_FRAMES - 1)]
        assert first["seq"] == 4
        assert frames[-1]["dropped"] == 3
        assert frames[-1]["points"][0][3] == QUEUE_FRAMES + 2

    asyncio.run(scene())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"watch": 1}',
        '{"watch": [{"metrics": ["a"]}]}',
        '{"watch": [{"metrics": [1], "entities": null}]}',
        '{"watch": [{"metrics": ["a"], "entities": "web"}]}',
        json.dumps({"watch": [{"metrics": [], "entities": None}] * 9}),
        json.dumps({"watch": [{"metrics": ["a"], "entities": ["web"] * 501}]}),
        json.dumps({"watch": [{"metrics": ["a"] * 65, "entities": None}]}),
    ],
)
def test_a_message_that_is_no_watch_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parse_watch(text)


def test_a_watch_names_metrics_and_machines() -> None:
    message = {"watch": [{"metrics": ["a", "b"], "entities": ["web"]}]}
    assert parse_watch(json.dumps(message)) == (Topic(frozenset("ab"), frozenset({"web"})),)
