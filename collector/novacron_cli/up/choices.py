"""What `novacron setup` was told: config/setup.toml, which `novacron up` obeys at each start."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from novacron_cli.up.addresses import Addresses
from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.names import plain_name, server_names
from novacron_contract.settings import host_port, setting


class Port(StrEnum):
    """What other machines may reach."""

    AGENTS = "agents"
    API = "api"
    OTLP = "otlp"


_LISTENERS = {
    Port.AGENTS: ("agents",),
    Port.API: ("api",),
    Port.OTLP: ("otlp_grpc", "otlp_http"),
}


def _open(ports: tuple[str, ...]) -> None:
    for port in ports:
        if port not in set(Port):
            raise ConfigError(f"expected some of {', '.join(Port)}, got {port[:80]!r}")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """`names`: by which other machines reach this one, the first one told to agents. `cert_file`
    and `key_file` are somebody's own, `ca_file` is the authority by which others trust them; None:
    one that their systems know."""

    names: tuple[str, ...] = setting((), check=server_names)
    open: tuple[str, ...] = setting((), check=_open)
    cert_file: Path | None = setting(None)
    key_file: Path | None = setting(None)
    ca_file: Path | None = setting(None)

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("a certificate and its key: one needs the other")
        if self.open and not self.names:
            raise ConfigError("say by which name or address other machines reach this one")

    @property
    def brings_certificate(self) -> bool:
        return self.cert_file is not None

    def applied(self, addresses: Addresses) -> Addresses:
        """With the ports that others may reach on all addresses of this machine."""
        everywhere = _everywhere()
        listeners = [name for port in self.open for name in _LISTENERS[Port(port)]]
        found = {
            name: f"{everywhere}:{host_port(getattr(addresses, name))[1]}"
            for name in listeners
            if is_here(getattr(addresses, name))
        }
        return replace(addresses, **found)

    def agents_address(self, addresses: Addresses) -> str:
        """HOST:PORT that agents are told; "": nothing but the listener's own."""
        if not self.names or is_here(addresses.agents):
            return ""
        return at(self.names[0], host_port(addresses.agents)[1])

    def agents_url(self, addresses: Addresses) -> str:
        """What hosts are told to connect to."""
        host, port = host_port(addresses.agents)
        return f"https://{self.agents_address(addresses) or at(_nearest(host), port)}"

    def api_url(self, addresses: Addresses) -> str:
        """By which programs on this machine ask the API."""
        host, port = host_port(addresses.api)
        if is_here(addresses.api):
            return f"http://{addresses.api}"
        if self.brings_certificate and self.names:
            return f"https://{at(self.names[0], port)}"
        return f"https://{at(_nearest(host), port)}"

    def tables(self) -> dict[str, Any]:
        """As they stand in the file."""
        given = {name: getattr(self, name) for name in ("names", "open")}
        files = {name: getattr(self, name) for name in ("cert_file", "key_file", "ca_file")}
        return given | {name: str(path) for name, path in files.items() if path is not None}

    def for_collector(self, addresses: Addresses) -> dict[str, dict[str, Any]]:
        """The tables of collector.toml that follow from them."""
        tls: dict[str, Any] = {"names": self.names} if self.names else {}
        if self.cert_file is not None and self.key_file is not None:
            tls |= {"cert_file": str(self.cert_file), "key_file": str(self.key_file)}
        address = self.agents_address(addresses)
        found = {"tls": tls, "enrolment": {"address": address} if address else {}}
        return {table: values for table, values in found.items() if values}


@dataclass(frozen=True, kw_only=True)
class SetupFile:
    setup: Choices = field(default_factory=Choices)


def is_here(address: str) -> bool:
    """Whether a listener is for this machine alone."""
    return is_loopback(host_port(address)[0])


def at(host: str, port: int) -> str:
    """HOST:PORT, where an address of IPv6 is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Without what is the same in another spelling.

    Raises:
        ConfigError: one is neither a name nor an address.
    """
    return tuple(dict.fromkeys(plain_name(name) for name in server_names(names)))


def _nearest(host: str) -> str:
    """What a listener on all addresses is reached by from here."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _everywhere() -> str:
    """All addresses of IPv6 are those of IPv4, too; where a machine has any."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "[::]"
