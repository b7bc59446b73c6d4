"""The tables [tls] and [enrolment] of collector.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.names import server_name
from novacron_contract.settings import host_port, setting


def _names(names: tuple[str, ...]) -> None:
    for name in names:
        server_name(name)


def _address(address: str) -> None:
    if address:
        server_name(host_port(address)[0])


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """The table [tls]: the files are for people and foreign senders; agents know our authority."""

    names: tuple[str, ...] = setting((), check=_names)
    cert_file: Path | None = setting(None)
    key_file: Path | None = setting(None)

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("tls: cert_file and key_file: one needs the other")


@dataclass(frozen=True, kw_only=True)
class EnrolmentSettings:
    """The table [enrolment]. `address` is what agents are told, where it is not the listener's."""

    authority: Path | None = setting(None)
    address: str = setting("", check=_address)
    certificates: float = setting("7d", unit="s", minimum=60, maximum=90 * 86400)
