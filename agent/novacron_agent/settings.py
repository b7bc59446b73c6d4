"""agent.toml: what an operator may set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from novacron_agent.commands.settings import CommandsTable
from novacron_agent.delivery.destination import DEFAULT_NAME, Destination, base_url
from novacron_agent.enrolment.membership import Membership, read_membership
from novacron_agent.selection import MetricRule
from novacron_contract.environment import overridden, variables_of
from novacron_contract.errors import ConfigError
from novacron_contract.settings import parse, read_document, setting
from novacron_otlp.settings import check_names

_ID_FILE = Path("/var/lib/novacron-agent/agent-id")
VARIABLES = "NOVACRON_AGENT"  # NOVACRON_AGENT__HOST__ENABLED=false is `enabled` of [host]
ENDPOINT = "http://127.0.0.1:4318"


def _endpoint(url: str | None) -> None:
    if url is not None:
        base_url(url)


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class AgentTable:
    """[agent]"""

    interval: float = setting(
        "10s", unit="s", minimum=1, maximum=3600, doc="Time between two scrapes"
    )
    endpoint: str | None = setting(
        None,
        check=_endpoint,
        doc="Where to send: any OTLP receiver, by HTTP (`/v1/metrics` is added) or gRPC "
        "(`grpc://HOST:PORT`); instead of a table `[[destinations]]`. Without both: the collector "
        f"that the agent has joined, or else {ENDPOINT}",
    )
    id_file: Path = setting(_ID_FILE, doc="The agent's UUID, made the first time")
    host_id: str | None = setting(
        None, doc="The machine's `host.id`, where `/etc/machine-id` will not do"
    )
    spool: Path | None = setting(
        None, doc="Folder for what could not be sent yet; without it `spool` beside `id_file`"
    )
    identity: Path | None = setting(
        None,
        doc="Folder of the key and certificate that `novacron-agent join` gets; without it "
        "`identity` beside `id_file`",
    )
    log_level: LogLevel = field(
        default=LogLevel.INFO,
        metadata={"unit": None, "doc": "`debug`, `info`, `warning` or `error`"},
    )


@dataclass(frozen=True, kw_only=True)
class HostTable:
    """[host]"""

    enabled: bool = setting(True, doc="Measure the machine the agent runs on")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`provider` keeps its options as they stand: the plug-in it names knows what they mean."""

    agent: AgentTable = field(default_factory=AgentTable)
    host: HostTable = field(default_factory=HostTable)
    destinations: tuple[Destination, ...] = ()
    metrics: tuple[MetricRule, ...] = ()
    provider: Mapping[str, Any] | None = None
    commands: CommandsTable = field(default_factory=CommandsTable)

    def __post_init__(self) -> None:
        check_names(self.destinations, "destinations")
        if self.destinations and self.agent.endpoint is not None:
            raise ConfigError("set either [agent] endpoint or [[destinations]]")

    @property
    def all_destinations(self) -> tuple[Destination, ...]:
        """
        Raises:
            ConfigError: the agent has joined, and what it got is damaged.
        """
        if self.destinations:
            return self.destinations
        joined = None if self.agent.endpoint is not None else read_membership(self.identity)
        if joined is not None:
            return (_collector(joined),)
        return (Destination(name=DEFAULT_NAME, endpoint=self.agent.endpoint or ENDPOINT),)

    @property
    def spool(self) -> Path:
        return self.agent.spool or self.agent.id_file.with_name("spool")

    @property
    def identity(self) -> Path:
        return self.agent.identity or self.agent.id_file.with_name("identity")

    @property
    def journal(self) -> Path:
        """Of commands. Several agents of one folder differ by their id files."""
        return self.agent.id_file.with_name(f"{self.agent.id_file.name}.journal.sqlite")

    @property
    def status_file(self) -> Path:
        return self.agent.id_file.with_name(f"{self.agent.id_file.name}.status.json")


def _collector(joined: Membership) -> Destination:
    """Its port for agents, as the agent that it knows."""
    return Destination(
        name=DEFAULT_NAME,
        endpoint=joined.url,
        ca_file=joined.ca_file,
        cert_file=joined.cert_file,
        key_file=joined.cert_file,
    )


def read_settings(path: Path) -> Settings:
    """Read agent.toml, and what the environment sets in its place.

    Raises:
        ConfigError: one line naming the file or the variable, the key and what is allowed.
    """
    document = overridden(read_document(path), os.environ, VARIABLES, Settings)
    settings = parse(document, Settings, where=str(path))
    if settings.provider is None and not settings.host.enabled:
        raise ConfigError(f"{path}: nothing to measure: enable [host] or name a [provider]")
    if settings.provider is not None and not isinstance(settings.provider.get("name"), str):
        raise ConfigError(f'{path}: provider: name: missing, such as "kvm"')
    return settings


def provider_place(path: Path) -> str:
    """Where the options of [provider] come from."""
    variables = variables_of("provider", os.environ, VARIABLES)
    return f"{path} and {', '.join(variables)}: provider" if variables else f"{path}: provider"
