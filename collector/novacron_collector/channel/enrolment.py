"""Agents that join, and that renew their certificates.

POST /v1/agents/enroll {"token", "csr", "agent_id", "host_id" or null, "name", "version"}
POST /v1/agents/renew {"csr"}
both: {"agent_id", "certificate", "authority", "serial", "begins", "ends"}; times in Unix seconds
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from novacron_collector.admission import Room
from novacron_collector.channel.app import answer, read_json
from novacron_collector.channel.attempts import Attempts
from novacron_collector.channel.caller import caller
from novacron_collector.channel.registry import Registry
from novacron_collector.tls.authority import Authority, Signed
from novacron_contract.access import Principal, PrincipalKind
from novacron_contract.errors import BadMessage, Conflict, NovaCronError, Unauthenticated
from novacron_store.state.audit import Audit, Entry, Outcome
from novacron_store.state.credentials import digest, has_form
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.join_tokens import PREFIX, JoinTokens

log = logging.getLogger(__name__)

MAX_BODY = 16 * 1024
_AT_A_TIME = 4
_IN_HAND = 64  # of strangers, whose requests may be slow
_LONGEST = {"host_id": 100, "name": 253, "version": 64}


@dataclass(frozen=True, slots=True)
class Joining:
    """What an agent says of itself when it joins."""

    token: str
    csr: str
    agent_id: str
    host_id: str | None
    name: str
    version: str


@dataclass
class Enrolment:
    """`life`: of certificates."""

    authority: Authority
    identities: Identities
    tokens: JoinTokens
    audit: Audit
    registry: Registry
    life: timedelta
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    attempts: Attempts = field(default_factory=Attempts)
    _room: Room = field(default_factory=lambda: Room(_IN_HAND * MAX_BODY, _IN_HAND))
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_A_TIME))

    async def enroll(self, request: Request) -> Response:
        with self._room.enter():
            return await self._enroll(request)

    async def _enroll(self, request: Request) -> Response:
        source = _source(request)
        self.attempts.check(source)
        try:
            joining = parse(await read_json(request, MAX_BODY))
            async with self._turns:
                signed = await asyncio.to_thread(self._join, joining, source)
        except (Unauthenticated, BadMessage, Conflict) as err:
            await self._denied(source, err)
            raise
        await self.registry.refresh()
        log.info("agent %s (%s) joined from %s", joining.agent_id, joining.name, source)
        return self._answer(joining.agent_id, signed)

    async def renew(self, request: Request) -> Response:
        agent = await caller(request.scope)
        match await read_json(request, MAX_BODY):
            case {"csr": str(csr)}:
                async with self._turns:
                    signed = await asyncio.to_thread(
                        self._renew, csr, agent.agent_id, _source(request)
                    )
            case _:
                raise BadMessage('expected {"csr": …}')
        await self.registry.refresh()
        return self._answer(agent.agent_id, signed)

    def routes(self) -> list[BaseRoute]:
        """Of agents that have joined."""
        return [Route("/v1/agents/renew", self.renew, methods=["POST"])]

    def _join(self, joining: Joining, source: str) -> Signed:
        now = self.now()
        token = self.tokens.check(joining.token, now)
        signed = self.authority.sign_agent(joining.csr, joining.agent_id, now, self.life)
        identity = Identity(
            agent_id=joining.agent_id,
            host_id=joining.host_id,
            name=joining.name,
            version=joining.version,
            standing=Standing.ACTIVE,
            reason="",
            joined=now,
            joined_by=token.id,
            joined_from=source,
            ended=None,
        )
        detail = {"host": joining.host_id, "token": token.id, "serial": signed.serial}
        entry = _entry(joining.agent_id, joining.name, "agent.enrol", source, **detail)
        certificate = _certificate(signed, joining.agent_id)
        self.identities.join(identity, certificate, digest(joining.token), entry)
        return signed

    def _renew(self, csr: str, agent_id: str, source: str) -> Signed:
        name = self.identities.identity(agent_id).name
        signed = self.authority.sign_agent(csr, agent_id, self.now(), self.life)
        entry = _entry(agent_id, name, "agent.renew", source, serial=signed.serial)
        self.identities.renew(_certificate(signed, agent_id), entry)
        return signed

    async def _denied(self, source: str, err: NovaCronError) -> None:
        if count := self.attempts.failed(source):
            nobody = Principal(PrincipalKind.ANONYMOUS, "", "", ())
            detail = {"attempts": count}
            entry = Entry(
                nobody, "agent.enrol", "agent:?", Outcome.DENIED, source, str(err), detail
            )
            await asyncio.to_thread(self.audit.append, entry)

    def _answer(self, agent_id: str, signed: Signed) -> Response:
        return answer(
            {
                "agent_id": agent_id,
                "certificate": signed.pem,
                "authority": self.authority.certificate_pem,
                "serial": signed.serial,
                "begins": signed.issued.timestamp(),
                "ends": signed.ends.timestamp(),
            }
        )


def parse(raw: object) -> Joining:
    """
    Raises:
        BadMessage: it is not what an agent says when it joins.
        Unauthenticated: it has no join token.
    """
    match raw:
        case {
            "token": str(token),
            "csr": str(csr),
            "agent_id": str(agent_id),
            "host_id": str() | None as host_id,
            "name": str(name),
            "version": str(version),
        }:
            if not has_form(token, PREFIX):
                raise Unauthenticated("this is no join token: `novacron agent invite` makes one")
            for what, text in (("host_id", host_id), ("name", name), ("version", version)):
                if text is not None and not (
                    text.isprintable() and 0 < len(text) <= _LONGEST[what]
                ):
                    raise BadMessage(f"{what}: expected 1 to {_LONGEST[what]} printable characters")
            return Joining(token, csr, _uuid(agent_id), host_id, name, version)
    raise BadMessage("expected token, csr, agent_id, host_id, name and version")


def _uuid(text: str) -> str:
    try:
        parsed = str(uuid.UUID(text))
    except ValueError as err:
        raise BadMessage("agent_id: expected a UUID") from err
    if parsed != text:
        raise BadMessage("agent_id: expected a UUID in its usual form")
    return text


def _source(request: Request) -> str:
    return request.client.host if request.client else ""


def _certificate(signed: Signed, agent_id: str) -> Certificate:
    return Certificate(signed.serial, agent_id, signed.issued, None, signed.ends)


def _entry(agent_id: str, name: str, action: str, source: str, **detail: object) -> Entry:
    agent = Principal(PrincipalKind.SYSTEM, agent_id, name, ())
    return Entry(agent, action, f"agent:{agent_id}", Outcome.SUCCEEDED, source, "", detail)
