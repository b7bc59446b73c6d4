"""A copy in memory of agents' identities and senders' tokens, at most a second old, so that no
request waits for the state database."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from novacron_collector.channel.peer import Peer
from novacron_contract.access import Principal, PrincipalKind
from novacron_contract.errors import Refused, Unauthenticated
from novacron_store.state.audit import Entry, Outcome
from novacron_store.state.identities import Certificate, Identities, Identity, Instance, Standing


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """`host_id` None: not known yet, see Identities.bind_host."""

    agent_id: str
    host_id: str | None
    serial: str


class Registry:
    """Serves one event loop; `refresh` is called every now and then, see Keeper."""

    def __init__(
        self,
        identities: Identities,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._identities = identities
        self._now = now
        self._number = 0
        self._turn = threading.Lock()
        self._agents: dict[str, Identity] = {}
        self._certificates: dict[str, Certificate] = {}
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def admit(self, peer: Peer) -> AgentIdentity:
        """
        Raises:
            Unauthenticated: the certificate is none of an agent, or its time is over.
            Refused: the agent is revoked or quarantined.
            Unavailable: it is not known here, and the state database does not answer.
        """
        certificate = self._certificates.get(peer.serial)
        if certificate is None:
            await self.refresh()
            certificate = self._certificates.get(peer.serial)
        identity = self._agents.get(peer.agent_id)
        if certificate is None or identity is None or certificate.agent_id != peer.agent_id:
            raise Unauthenticated("this certificate is not known here: let the agent join again")
        if identity.standing is not Standing.ACTIVE:
            raise Refused(f"this agent is {identity.standing}: {identity.reason}")
        now = self._now()
        if min(certificate.ends.timestamp(), peer.ends) <= now.timestamp():
            raise Unauthenticated("this certificate's time is over: use the newer one")
        if certificate.used is None:
            await asyncio.to_thread(self._identities.used, peer.serial, now)
            await self.refresh()
        return AgentIdentity(peer.agent_id, identity.host_id, peer.serial)

    async def saw_instance(self, agent_id: str, instance: str) -> Instance:
        """What `Identities.saw_instance` says; the database is asked about news alone.

        Raises:
            Refused: this identity is used by two machines.
        """
        identity = self._agents.get(agent_id)
        if identity is not None and identity.instance == instance:
            return Instance(is_new=False)
        saw = self._identities.saw_instance
        name = identity.name if identity is not None else ""
        agent = Principal(PrincipalKind.SYSTEM, agent_id, name, ())
        target, why = f"agent:{agent_id}", "two machines use this identity"
        copied = Entry(agent, "agent.quarantine", target, Outcome.DENIED, reason=why)
        try:
            return await asyncio.to_thread(saw, agent_id, instance, self._now(), copied)
        finally:
            await self.refresh()

    async def bind_host(self, agent_id: str, host_id: str) -> str:
        """
        Raises:
            Conflict: another agent has this host.
        """
        bound = await asyncio.to_thread(self._identities.bind_host, agent_id, host_id)
        await self.refresh()
        return bound

    async def refresh(self) -> None:
        """Learn now what changed."""
        self._tell(await asyncio.to_thread(self._learn))

    def ending(self, agent_id: str) -> asyncio.Future[None]:
        """Done, with Refused, when the agent is no longer active. Cancel it when it does not matter
        any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[agent_id]
        waiting.add(future)

        def forget(done: asyncio.Future[None]) -> None:
            waiting.discard(done)
            if not waiting and self._waiting.get(agent_id) is waiting:
                del self._waiting[agent_id]

        future.add_done_callback(forget)
        return future

    # -- learning ---------------------------------------------------------------------------------

    def _learn(self) -> list[Identity]:
        """Those that are no longer active."""
        with self._turn:
            changes = self._identities.since(self._number)
            for certificate in changes.certificates:
                self._certificates[certificate.serial] = certificate
            for identity in changes.identities:
                self._agents[identity.agent_id] = identity
            self._number = changes.number
            if changes.certificates:
                self._forget_old()
        return [one for one in changes.identities if one.standing is not Standing.ACTIVE]

    def _forget_old(self) -> None:
        """Long ended ones are refused by TLS itself."""
        if len(self._certificates) > 4 * len(self._agents) + 100:
            now = self._now()
            kept = {s: one for s, one in self._certificates.items() if one.ends > now}
            self._certificates = kept

    def _tell(self, ended: list[Identity]) -> None:
        for identity in ended:
            for future in tuple(self._waiting.get(identity.agent_id, ())):
                if not future.done():
                    why = f"this agent is {identity.standing}: {identity.reason}"
                    future.set_exception(Refused(why))
