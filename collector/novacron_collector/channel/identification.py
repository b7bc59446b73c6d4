"""Everything about who agents and senders are, made from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine
from starlette.routing import BaseRoute

from novacron_collector.api.services import LOOPBACK
from novacron_collector.channel.app import Channel
from novacron_collector.channel.enrolling import Enrolling
from novacron_collector.channel.enrolment import Enrolment
from novacron_collector.channel.ingest import AgentIngest
from novacron_collector.channel.keeper import Task, in_thread
from novacron_collector.channel.registry import AgentIdentity, Registry
from novacron_collector.channel.senders import KnownSenders
from novacron_collector.receivers.body import BodyLimits
from novacron_collector.receivers.door import Door
from novacron_collector.receivers.intake import Intake
from novacron_collector.settings import Settings
from novacron_collector.tls.listeners import Tls, is_beyond
from novacron_collector.tls.making import make_tls
from novacron_contract.access import Principal, PrincipalKind
from novacron_store.state.audit import Audit, Entry, Outcome
from novacron_store.state.identities import Identities
from novacron_store.state.ingest_tokens import IngestTokens
from novacron_store.state.join_tokens import JoinTokens

_LEARN_EVERY_S = 0.5
_WRITE_EVERY_S = 60.0
_LOOK_AT_FILES_EVERY_S = 5.0


@dataclass
class Identification:
    settings: Settings
    state: Engine
    tls: Tls
    identities: Identities
    registry: Registry
    senders: KnownSenders

    def channel(self, intake: Intake, bodies: BodyLimits, more: Sequence[BaseRoute]) -> Channel:
        """The application of port 8441; `more` are routes of agents that have joined."""
        enrolment = Enrolment(
            self.tls.authority,
            self.identities,
            JoinTokens(self.state),
            Audit(self.state),
            self.registry,
            timedelta(seconds=self.settings.enrolment.certificates),
        )
        json_limit = int(self.settings.limits.json)
        ingest = AgentIngest(intake, bodies, json_limit, self.registry, self._overwritten)
        routes = [*enrolment.routes(), *more]
        return Channel(self.registry, enrolment.enroll, ingest.handler(), routes)

    def enrolling(self) -> Enrolling:
        return Enrolling(
            self.identities,
            JoinTokens(self.state),
            IngestTokens(self.state),
            self.tls.authority.pin,
            self.settings.agents_address,
            tuple(self.tls.own.names),
        )

    def trusted_hosts(self) -> tuple[str, ...]:
        """By which the API may be asked for, as a request's Host has them."""
        if not is_beyond(self.settings.listen.api):
            return LOOPBACK
        return tuple(f"[{name}]" if ":" in name else name for name in self.tls.own.names)

    def door(self, address: str) -> Door:
        return Door(self.senders, required=is_beyond(address))

    def tasks(self) -> list[Task]:
        """To be kept while the collector runs."""
        learn = in_thread(self.senders.learn)
        return [
            Task("reading identities", _LEARN_EVERY_S, self.registry.refresh),
            Task("reading ingest tokens", _LEARN_EVERY_S, learn),
            Task("writing when tokens were used", _WRITE_EVERY_S, in_thread(self._write_use)),
            Task("looking after certificates", _LOOK_AT_FILES_EVERY_S, self._look_after_files),
        ]

    def _write_use(self) -> None:
        self.senders.write_use()

    async def _look_after_files(self) -> None:
        """In the event loop: contexts are changed between handshakes, not during one."""
        self.tls.keep()
        await asyncio.sleep(0)

    def _overwritten(self, agent: AgentIdentity) -> None:
        name = self.identities.identity(agent.agent_id).name
        actor = Principal(PrincipalKind.SYSTEM, agent.agent_id, name, ())
        detail = {"host": agent.host_id}
        target, why = f"agent:{agent.agent_id}", "it told of hosts that are not its own"
        audit = Audit(self.state)
        audit.append(
            Entry(actor, "agent.telemetry", target, Outcome.DENIED, reason=why, detail=detail)
        )


def make_identification(settings: Settings, state: Engine) -> Identification:
    """
    Raises:
        ConfigError: the authority or a certificate cannot be used.
    """
    identities = Identities(state)
    senders = KnownSenders(IngestTokens(state))
    return Identification(
        settings, state, make_tls(settings), identities, Registry(identities), senders
    )
