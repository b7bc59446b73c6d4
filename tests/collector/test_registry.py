"""Who asks on port 8441, as routes learn it: known at once, and no longer than it holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from novacron_collector.channel.caller import REGISTRY, caller, saw_instance, while_allowed
from novacron_collector.channel.peer import PEER, Peer, peer_of
from novacron_collector.channel.registry import Registry
from novacron_contract.access import SYSTEM
from novacron_contract.errors import NovaCronError, Refused, Unauthenticated
from novacron_store.state import Audit, Caller
from novacron_store.state.audit import Wanted
from novacron_store.state.credentials import digest
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.join_tokens import JoinTokens

NOW = datetime.now(UTC)
WEEK = timedelta(days=7)
AGENT = "00000000-0000-4000-8000-000000000001"


def joined(engine: Engine) -> Identities:
    _, secret = JoinTokens(engine).create("lab", Caller(SYSTEM), NOW, NOW + WEEK, 1)
    identity = Identity(
        agent_id=AGENT,
        host_id="h-1",
        name="kvm-7",
        version="0.1.0",
        standing=Standing.ACTIVE,
        reason="",
        joined=NOW,
        joined_by="t-1",
        joined_from="::1",
        ended=None,
    )
    identities = Identities(engine)
    identities.join(identity, Certificate("5a", AGENT, NOW, None, NOW + WEEK), digest(secret))
    return identities


def scope_of(registry: Registry, serial: str = "5a", ends: datetime = NOW + WEEK) -> dict[str, Any]:
    return {REGISTRY: registry, PEER: Peer(AGENT, serial, ends.timestamp())}


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_caller_is_known_and_its_certificate_used(engine: Engine) -> None:
    identities = joined(engine)

    async def ask() -> None:
        scope = scope_of(Registry(identities))
        known = await caller(scope)
        assert (known.agent_id, known.host_id, known.serial) == (AGENT, "h-1", "5a")
        assert await caller(scope) is known

    run(ask())
    assert identities.certificates(AGENT)[0].used is not None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({PEER: None}, "no token is taken here"),
        ({PEER: Peer(AGENT, "5b", (NOW + WEEK).timestamp())}, "is not known here"),
        ({PEER: Peer("another", "5a", (NOW + WEEK).timestamp())}, "is not known here"),
        ({PEER: Peer("", "5a", (NOW + WEEK).timestamp())}, "is not known here"),
        ({PEER: Peer(AGENT, "5a", NOW.timestamp() - 1)}, "time is over"),
    ],
)
def test_whoever_is_not_known_is_told_so(engine: Engine, changed: dict[str, Any], why: str) -> None:
    identities = joined(engine)

    async def ask() -> None:
        with pytest.raises(Unauthenticated, match=why):
            await caller({**scope_of(Registry(identities)), **changed})

    run(ask())


def test_what_waits_ends_when_the_agent_is_revoked(engine: Engine) -> None:
    identities = joined(engine)

    async def ask() -> None:
        registry, cancelled = Registry(identities), asyncio.Event()
        scope = scope_of(registry)
        await caller(scope)

        async def poll() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        waiting = asyncio.create_task(while_allowed(scope, poll()))
        await asyncio.sleep(0)
        began = time.monotonic()
        await asyncio.to_thread(identities.end, AGENT, Standing.REVOKED, "sold", NOW)
        await registry.refresh()
        with pytest.raises(Refused, match="this agent is revoked: sold"):
            await waiting
        assert cancelled.is_set()
        assert time.monotonic() - began < 5
        assert await _of(registry) == "Refused"

    run(ask())


async def _of(registry: Registry) -> str:
    try:
        await caller(scope_of(registry))
    except NovaCronError as err:
        return type(err).__name__
    return ""


def test_what_is_done_is_given_back_and_what_fails_is_raised(engine: Engine) -> None:
    identities = joined(engine)

    async def ask() -> None:
        scope = scope_of(Registry(identities))

        async def answer() -> str:
            return "orders"

        async def fail() -> str:
            raise ValueError("a defect")

        assert await while_allowed(scope, answer()) == "orders"
        with pytest.raises(ValueError, match="a defect"):
            await while_allowed(scope, fail())

    run(ask())


def test_two_machines_with_one_identity_are_both_refused_and_it_is_on_record(
    engine: Engine,
) -> None:
    identities = joined(engine)

    async def ask() -> None:
        registry = Registry(identities)
        assert (await saw_instance(scope_of(registry), "A")).is_new
        assert not (await saw_instance(scope_of(registry), "A")).is_new
        lost = await saw_instance(scope_of(registry), "B")
        assert (lost.is_new, lost.before) == (True, "A")
        with pytest.raises(Refused, match="two machines use this identity"):
            await saw_instance(scope_of(registry), "A")
        for instance in ("A", "B"):
            with pytest.raises(Refused, match="quarantined"):
                await saw_instance(scope_of(registry), instance)

    run(ask())
    (row,) = Audit(engine).rows(Wanted(action="agent.quarantine"))
    assert (row.target, row.outcome) == (f"agent:{AGENT}", "denied")


def test_another_process_learns_what_this_one_did(engine: Engine) -> None:
    identities = joined(engine)

    async def ask() -> None:
        here, there = Registry(identities), Registry(Identities(engine))
        assert await _of(there) == ""
        await here.refresh()
        identities.end(AGENT, Standing.REVOKED, "sold", NOW)
        assert await _of(there) == ""
        await there.refresh()
        assert await _of(there) == "Refused"

    run(ask())


class Shown:
    """What ssl says of a verified peer."""

    def __init__(self, *names: tuple[str, str]) -> None:
        self.names = names

    def getpeercert(self) -> dict[str, Any]:
        told: dict[str, Any] = {"serialNumber": "0A5A", "notAfter": "Dec  8 04:43:39 2026 GMT"}
        return {**told, "subjectAltName": self.names}


@pytest.mark.parametrize(
    ("names", "agent_id"),
    [
        ([("URI", f"urn:novacron:agent:{AGENT}")], AGENT),
        ([("DNS", "localhost")], ""),
        ([("URI", "urn:novacron:agent:x")], ""),
        ([("URI", f"urn:other:{AGENT}")], ""),
        ([("URI", f"urn:novacron:agent:{AGENT}"), ("URI", "urn:novacron:agent:x")], ""),
        ([], ""),
    ],
)
def test_one_name_of_the_right_kind_is_an_agents(
    names: list[tuple[str, str]], agent_id: str
) -> None:
    peer = peer_of(Shown(*names))
    assert peer is not None
    assert (peer.agent_id, peer.serial) == (agent_id, "a5a")
    assert peer_of(None) is None
