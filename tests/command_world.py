"""A fleet whose agents take commands: state database, engine, REST and the agents' port, in one
process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from novacron_collector.access.access import Access
from novacron_collector.channel.app import Channel
from novacron_collector.channel.commands import routes
from novacron_collector.channel.peer import PEER, Peer
from novacron_collector.channel.registry import Registry
from novacron_collector.commands.engine import Around, Commands
from novacron_collector.commands.settings import CommandSettings
from novacron_collector.commands.surroundings import agents_of_hosts, principal_of
from novacron_contract.access import SYSTEM, Grant, Principal, PrincipalKind, Role
from novacron_contract.metrics import VmState
from novacron_store.state import Caller, Host, Inventory, Users, Vm
from novacron_store.state.audit import Wanted
from novacron_store.state.credentials import digest
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.join_tokens import JoinTokens
from principals import access_of

ADMIN = Caller(SYSTEM, "192.0.2.1")
WEEK = timedelta(days=7)


@dataclass
class Clock:
    """The time, and what a test adds to it."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


def commands_of(
    engine: Engine,
    access: Access,
    *,
    settings: CommandSettings | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    states: Mapping[str, VmState] | None = None,
    **around: Any,
) -> Commands:
    identities, users = Identities(engine), Users(engine)
    needed = Around(
        agents_of_hosts=lambda: agents_of_hosts(identities),
        states=lambda: {} if states is None else states,
        principal_of=lambda user_id: principal_of(users, user_id),
        require=access.require,
        refuse=access.refuse,
        **around,
    )
    return Commands(engine, access.audit, settings or CommandSettings(), needed, now)


@dataclass
class World:
    """`hosts` and `vms`: ids in the order in which they were made."""

    engine: Engine
    settings: CommandSettings = field(default_factory=CommandSettings)
    clock: Clock = field(default_factory=Clock)
    states: dict[str, VmState] = field(default_factory=dict)
    published: list[Mapping[str, Any]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    vms: list[str] = field(default_factory=list)
    agent_of: dict[str, str] = field(default_factory=dict)  # by host
    followed: bool = False

    def __post_init__(self) -> None:
        self.access: Access = access_of(self.engine)
        self.identities = Identities(self.engine)
        self.inventory = Inventory(self.engine)
        self.users = Users(self.engine)
        self.commands = self.collector()

    def collector(self) -> Commands:
        """Another one over the same database: a replica, or the one that comes after."""
        return commands_of(
            self.engine,
            self.access,
            settings=self.settings,
            now=self.clock.now,
            states=self.states,
            publish=self.published.extend,
            followed=lambda: self.followed,
        )

    def add_host(self, vms: int, *, enrolled: bool = True, **tags: str) -> str:
        host, now = str(uuid4()), self.clock.now()
        number = len(self.hosts)
        self.inventory.see_hosts([Host(host, f"kvm-{number}", now, now)])
        new = [str(uuid4()) for _ in range(vms)]
        self.inventory.see_vms(
            Vm(vm, f"vm-{number}-{place}", host, now, now, "kvm", tags)
            for place, vm in enumerate(new)
        )
        if enrolled:
            self.enrol(host, now)
        self.hosts.append(host)
        self.vms += new
        return host

    def enrol(self, host: str, now: datetime) -> None:
        agent = str(uuid4())
        _, secret = JoinTokens(self.engine).create("lab", ADMIN, now, now + WEEK, 1)
        self.identities.join(
            Identity(
                agent_id=agent,
                host_id=host,
                name="kvm",
                version="0.1.0",
                standing=Standing.ACTIVE,
                reason="",
                joined=now,
                joined_by="",
                joined_from="",
                ended=None,
            ),
            Certificate(serial_of(agent), agent, now, None, now + WEEK),
            digest(secret),
        )
        self.agent_of[host] = agent

    def somebody(self, role: Role = Role.OPERATOR, *grants: Grant) -> Caller:
        given = grants or (Grant(role),)
        user = self.users.add(f"u{uuid4().hex[:10]}", None, given, ADMIN)
        return Caller(Principal(PrincipalKind.USER, user.id, user.name, user.grants), "192.0.2.9")

    def audit(self, action: str) -> Sequence[Any]:
        return self.access.audit.rows(Wanted(action=action), limit=1000)


def serial_of(agent: str) -> str:
    return f"{UUID(agent).int:x}"


class AgentsPort:
    """Port 8441 without TLS: the agent says in a header who it is."""

    def __init__(self, world: World, commands: Commands) -> None:
        self._ends = (world.clock.now() + WEEK).timestamp()
        self.registry = Registry(world.identities)
        self._app = Channel(self.registry, _nothing, _nothing, routes(commands))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        agent = dict(scope["headers"]).get(b"x-agent", b"").decode()
        if agent:
            scope[PEER] = Peer(agent, serial_of(agent), self._ends)
        await self._app(scope, receive, send)

    def client(self, agent: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self),
            base_url="http://collector",
            headers={"x-agent": agent},
            timeout=60,
        )


async def _nothing(_request: Request) -> Response:
    return Response(status_code=404)
