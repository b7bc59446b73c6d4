"""POST /v1/metrics of port 8441: OTLP of agents, which is stored as theirs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from novacron_collector.channel.caller import caller
from novacron_collector.channel.ownership import Owner, Right, host_told, is_owned, owned
from novacron_collector.channel.registry import AgentIdentity, Registry
from novacron_collector.receivers.answers import NotPost, response
from novacron_collector.receivers.body import BodyLimits, read_body
from novacron_collector.receivers.http import JSON, Handler, answering, content_type, encoded
from novacron_collector.receivers.intake import Intake
from novacron_contract.metrics import SENT_AT_HEADER

log = logging.getLogger(__name__)

_SAID_EVERY_S = 3600.0
_MAX_SAID = 10_000
_LONGEST_HOST_ID = 100

Overwritten = Callable[[AgentIdentity], None]  # puts on record what an agent said of other hosts


@dataclass
class AgentIngest:
    """`overwritten` is called once an hour for an agent at most, on a thread."""

    intake: Intake
    limits: BodyLimits
    json_limit: int
    registry: Registry
    overwritten: Overwritten
    clock: Callable[[], float] = time.monotonic
    rewritten: int = 0  # requests since the start
    _right: Right = field(default_factory=Right)
    _said: dict[str, float] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def handler(self) -> Handler:
        return answering(self._metrics, self.intake.refusals)

    async def _metrics(self, request: Request) -> Response:
        agent = await caller(request.scope)
        if request.method != "POST":
            raise NotPost("send metrics with POST")
        kind = content_type(request)
        limits = self.limits
        if kind == JSON:
            wire = min(limits.wire, self.json_limit)
            limits = BodyLimits(wire, self.json_limit, limits.seconds)
        with self.intake.room.enter() as place:
            body = await read_body(request, place, limits)
            content = body.content
            if kind == JSON:
                content = await self.intake.from_json(content)
            ours = await self._owned(content, agent)
            sent = body.sent if ours is content else None
            sent_at = request.headers.get(SENT_AT_HEADER)
            outcome = await self.intake.protobuf(ours, sent_at, sent, agent.agent_id)
        return encoded(response(outcome), kind, 200)

    async def _owned(self, body: bytes, agent: AgentIdentity) -> bytes:
        owner = Owner(agent.agent_id, agent.host_id)
        if is_owned(body, owner, self._right):
            return body
        async with self._turn:  # what is decoded takes memory: one at a time
            if owner.host_id is None:
                owner = Owner(agent.agent_id, await self._bound(body, agent))
                if is_owned(body, owner, self._right):
                    return body
            ours = await asyncio.to_thread(owned, body, owner)
        if owner.host_id is not None:
            self.rewritten += 1
            await self._say(agent)
        return ours

    async def _bound(self, body: bytes, agent: AgentIdentity) -> str | None:
        """The first host that an agent tells of is its own, unless it is another agent's."""
        told = await asyncio.to_thread(host_told, body)
        if told is None or len(told) > _LONGEST_HOST_ID or not told.isprintable():
            return None
        return await self.registry.bind_host(agent.agent_id, told)

    async def _say(self, agent: AgentIdentity) -> None:
        now = self.clock()
        if now < self._said.get(agent.agent_id, 0.0) or len(self._said) >= _MAX_SAID:
            return
        self._said[agent.agent_id] = now + _SAID_EVERY_S
        log.warning(
            "agent %s told of hosts that are not its own; stored as of %s (said once an hour)",
            *(agent.agent_id, agent.host_id),
        )
        await asyncio.to_thread(self.overwritten, agent)
