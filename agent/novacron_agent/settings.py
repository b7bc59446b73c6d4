"""agent.toml: what an operator may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from novacron_contract.errors import ConfigError
from novacron_contract.settings import http_url, load, setting

_ID_FILE = Path("/var/lib/novacron/agent-id")


@dataclass(frozen=True, kw_only=True)
class AgentTable:
    """[agent]"""

    interval: float = setting(
        "10s", unit="s", minimum=1, maximum=3600, doc="Time between two scrapes"
    )
    endpoint: str = setting(
        "http://127.0.0.1:4318",
        check=http_url,
        doc="Where to send: any OTLP/HTTP receiver; `/v1/metrics` is added",
    )
    id_file: Path = setting(_ID_FILE, doc="The agent's UUID, made the first time")
    host_id: str | None = setting(
        None, doc="The machine's `host.id`, where `/etc/machine-id` will not do"
    )
    queue: int = setting(
        16 * 1024**2,
        unit="By",
        minimum=64 * 1024,
        maximum=1024**3,
        doc="Memory for what could not be sent yet; the oldest goes first when it is full",
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
    provider: Mapping[str, Any] | None = None


def read_settings(path: Path) -> Settings:
    """Read agent.toml.

    Raises:
        ConfigError: one line naming the file, the key and what is allowed.
    """
    settings = load(path, Settings)
    if settings.provider is None and not settings.host.enabled:
        raise ConfigError(f"{path}: nothing to measure: enable [host] or name a [provider]")
    if settings.provider is not None and not isinstance(settings.provider.get("name"), str):
        raise ConfigError(f'{path}: provider: name: missing, such as "kvm"')
    return settings
