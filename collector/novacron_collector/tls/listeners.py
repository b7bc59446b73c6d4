"""TLS of each listener: all that reach beyond this machine, and the agents' always."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ssl import SSLContext
from typing import Any

import grpc

from novacron_collector.tls.authority import Authority
from novacron_collector.tls.certificates import OwnCertificate, Pair
from novacron_collector.tls.settings import TlsSettings
from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.settings import host_port


def is_beyond(address: str) -> bool:
    """Whether a listener reaches beyond this machine."""
    return not is_loopback(host_port(address)[0])


@dataclass
class Tls:
    settings: TlsSettings
    own: OwnCertificate

    @property
    def authority(self) -> Authority:
        return self.own.authority

    def for_agents(self) -> SSLContext:
        """Our own certificate always: agents trust our authority alone."""
        return self._ours.context(self.authority.file)

    def for_listener(self, address: str) -> SSLContext | None:
        """None: this machine alone, without TLS.

        Raises:
            ConfigError: the operator's files cannot be used.
        """
        return self._shown.context() if is_beyond(address) else None

    def for_grpc(self, address: str) -> Any:
        """The same as gRPC's credentials, or None."""
        return _credentials(self._shown) if is_beyond(address) else None

    def keep(self) -> None:
        """Renew ours in time, and take up files that changed."""
        self.own.keep()
        for pair in {id(pair): pair for pair in (self._ours, self._shown)}.values():
            pair.read_again()

    @cached_property
    def _ours(self) -> Pair:
        self.own.keep()
        return self.own.pair

    @cached_property
    def _shown(self) -> Pair:
        cert, key = self.settings.cert_file, self.settings.key_file
        return self._ours if cert is None or key is None else Pair(cert, key)


def _credentials(pair: Pair) -> Any:
    """Asked at each handshake whether there is news."""
    served = pair.state()

    def configuration() -> Any:
        return grpc.ssl_server_certificate_configuration([pair.content()])

    def fetch() -> Any:
        nonlocal served
        found = pair.state()
        if found == served or not pair.is_usable():
            return None
        served = found
        return configuration()

    pair.require_usable()
    try:
        return grpc.dynamic_ssl_server_credentials(configuration(), fetch)
    except (OSError, ValueError) as err:
        raise ConfigError(f"{pair.cert_file}: cannot be used: {err}") from err
