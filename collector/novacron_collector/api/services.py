"""What the routes work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from novacron_collector.access.access import Access
from novacron_collector.channel.enrolling import Enrolling
from novacron_collector.commands.engine import Commands
from novacron_collector.forward.state import ForwardingState
from novacron_store.state import Agents, Inventory
from novacron_store.telemetry.builder import Index

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Services:
    """`telemetry` and `reader` give this thread's client, as our service and as a person.

    `trusted_hosts` are the names a request may ask for: a web page elsewhere that lets its own name
    point here must not read answers.
    """

    inventory: Inventory
    agents: Agents
    access: Access
    enrolment: Enrolling
    commands: Commands
    telemetry: Callable[[], Client]
    reader: Callable[[], Client]
    version: str
    started: datetime
    counters: Callable[[], Mapping[str, float]] = dict
    forwarding: Callable[[], ForwardingState] = ForwardingState
    not_ready: Callable[[], str | None] = lambda: None  # the reason not to be sent to
    problem: Callable[[], str | None] = lambda: None  # what an operator is to see to
    index: Index = field(default_factory=Index)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    trusted_hosts: tuple[str, ...] = LOOPBACK
