"""Commands through a real collector: mTLS, REST, the live feed, kill -9."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.sync.client import connect

from commanded_agent import FakeAgent
from enrolled import Agent, World, enrolling
from novacron_agent.enrolment.membership import ssl_context
from novacron_contract.access import Role
from novacron_store.state import Host, Inventory, Vm
from principals import signed_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with enrolling(tmp_path, more='[commands]\nredeliver = "300ms"\n') as world:
        yield world


@pytest.fixture
def vms(world: World) -> list[str]:
    now, ids = datetime.now(UTC), [str(uuid4()) for _ in range(20)]
    inventory = Inventory(world.state)
    inventory.see_hosts([Host("h-1", "kvm-1", now, now)])
    inventory.see_vms(Vm(vm, f"vm-{n}", "h-1", now, now, "kvm") for n, vm in enumerate(ids))
    return ids


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    """An operator."""
    headers, base = signed_in(world.state, Role.OPERATOR), world.collector.api
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=40) as client:
        yield client


@asynccontextmanager
async def alive(agent: Agent, **options: Any) -> AsyncIterator[FakeAgent]:
    context = ssl_context(agent.folder / "identity")
    url = agent.membership.url
    async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False) as client:
        fake = FakeAgent(client, 1, **options)
        task = asyncio.create_task(fake.live())
        try:
            yield fake
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def ask(http: httpx.Client, vms: list[str]) -> dict[str, Any]:
    answer = http.post("/v1/operations", json={"verb": "start", "targets": {"vms": vms}})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def followed(http: httpx.Client, operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Each state of it as it was told, to its end."""
    seen = [operation]
    while seen[-1]["finished"] is None:
        query = {"after": seen[-1]["version"], "wait": 20}
        seen.append(http.get(f"/v1/operations/{operation['id']}", params=query).json())
    return seen


def test_progress_reaches_who_waits_and_who_follows_the_feed(
    world: World, vms: list[str], http: httpx.Client
) -> None:
    agent = world.joined("one")
    feed_url = world.collector.api.replace("http", "ws") + "/v1/live"

    async def scenario() -> list[dict[str, Any]]:
        async with alive(agent, duration_s=0.3, most=2):
            made = await asyncio.to_thread(ask, http, vms[:6])
            return await asyncio.to_thread(followed, http, made)

    with connect(feed_url, proxy=None) as feed:
        feed.send(json.dumps({"subscribe": {"operations": True}}))
        seen = asyncio.run(scenario())
        told: list[dict[str, Any]] = []
        while not told or told[-1]["state"] == "running":
            frame = json.loads(feed.recv(5))
            assert frame["points"] == []
            told += frame["operations"]
    assert (seen[-1]["state"], seen[-1]["commands"]["succeeded"]) == ("succeeded", 6)
    assert len(seen) >= 4
    assert [of["version"] for of in seen] == sorted({of["version"] for of in seen})
    assert (told[-1]["id"], told[-1]["ended"]) == (seen[-1]["id"], 6)
    assert len(told) >= 4


def test_who_waits_holds_no_thread_and_is_answered_at_a_stop(
    world: World, vms: list[str], http: httpx.Client
) -> None:
    world.joined("one")  # and it fetches nothing
    made = ask(http, vms)

    async def scenario() -> None:
        url, query = f"/v1/operations/{made['id']}", {"after": made["version"], "wait": 30}
        base = world.collector.api
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=base, headers=http.headers, limits=limits, timeout=40, trust_env=False
        ) as many:
            held = [asyncio.create_task(many.get(url, params=query)) for _ in range(100)]
            await asyncio.sleep(1.5)
            before = time.monotonic()
            assert (await many.get("/v1/verbs")).status_code == 200
            assert time.monotonic() - before < 1
            assert not any(one.done() for one in held)
            stopping = asyncio.create_task(asyncio.to_thread(world.collector.stop))
            answers = await asyncio.gather(*held)
            assert {answer.status_code for answer in answers} == {200}
            assert await stopping == 0

    asyncio.run(scenario())


def test_who_may_not_see_is_not_held_nor_who_asks_for_what_is_not_there(world: World) -> None:
    url = f"{world.collector.api}/v1/operations/{uuid4()}?after=1&wait=30"
    before = time.monotonic()
    assert httpx.get(url, trust_env=False).status_code == 404
    wrong = {"Authorization": f"Bearer nct_{'a' * 43}"}
    assert httpx.get(url, headers=wrong, trust_env=False).status_code == 401
    assert time.monotonic() - before < 5


def test_what_was_acknowledged_survives_kill_9_at_any_point_and_is_done_once(
    world: World, vms: list[str], http: httpx.Client
) -> None:
    agent = world.joined("one")

    async def scenario() -> FakeAgent:
        async with alive(agent, duration_s=0.05, most=2) as fake:
            made = [ask(http, vms)]
            for _ in range(3):
                await asyncio.sleep(0.3)
                made.append(await asyncio.to_thread(ask, http, vms[:1]))
                await asyncio.to_thread(world.collector.kill)
                await asyncio.to_thread(world.collector.start)
            for one in made:
                seen = await asyncio.to_thread(followed, http, one)
                assert seen[-1]["state"] == "succeeded"
            return fake

    fake = asyncio.run(scenario())
    assert sum(fake.effects.values()) == len(vms) + 3
    assert max(fake.effects.values()) == 1


def test_an_agent_alone_polls_commands(world: World, http: httpx.Client) -> None:
    agent = world.joined("one")
    url = "/v1/agents/self/commands?instance=00000001-0000-4000-8000-000000000001"
    with agent.client() as client:
        assert client.get(f"{url}&wait=0").json() == {"orders": [], "cancelled": []}
        assert client.get(f"{url}&wait=61").status_code == 400
        assert client.get("/v1/agents/self/commands?wait=0").status_code == 400
    assert http.get(url).status_code == 404
