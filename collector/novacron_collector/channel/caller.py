"""Which agent asks, on port 8441."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from starlette.types import Scope

from novacron_collector.channel.peer import PEER, Peer
from novacron_collector.channel.registry import AgentIdentity, Registry
from novacron_contract.errors import Unauthenticated
from novacron_store.state.identities import Instance

__all__ = ["REGISTRY", "AgentIdentity", "caller", "saw_instance", "while_allowed"]

REGISTRY = "novacron.registry"  # in a request's scope
_CALLER = "novacron.caller"
Result = TypeVar("Result")


async def caller(scope: Scope) -> AgentIdentity:
    """
    Raises:
        Unauthenticated: without a certificate, or with one that does not hold.
        Refused: the agent is revoked or quarantined.
    """
    known = scope.get(_CALLER)
    if known is None:
        peer = cast(Peer | None, scope.get(PEER))
        if peer is None:
            raise Unauthenticated(
                "this port is for agents, which show a certificate; no token is taken here"
            )
        known = scope[_CALLER] = await _registry(scope).admit(peer)
    return cast(AgentIdentity, known)


async def saw_instance(scope: Scope, instance: str) -> Instance:
    """To be called with the journal's instance that came with a request.

    Raises:
        Refused: two machines use this identity; it is quarantined now.
    """
    return await _registry(scope).saw_instance((await caller(scope)).agent_id, instance)


async def while_allowed(scope: Scope, work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns. It is cancelled as soon as the agent is revoked or quarantined.

    Raises:
        Refused: that happened.
    """
    task = asyncio.ensure_future(work)
    try:
        ending = _registry(scope).ending((await caller(scope)).agent_id)
    except BaseException:
        task.cancel()
        raise
    try:
        both: set[asyncio.Future[Any]] = {task, ending}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            ending.result()
        return await task
    finally:
        task.cancel()
        ending.cancel()


def _registry(scope: Scope) -> Registry:
    return cast(Registry, scope[REGISTRY])
