"""The table [access] of collector.toml."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from novacron_contract.errors import ConfigError
from novacron_contract.settings import setting


def _networks(values: tuple[str, ...]) -> None:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError as err:
            raise ConfigError(f"expected addresses, or networks as 10.0.0.0/28: {err}") from err


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """`anonymous`: who asks without a credential is a viewer. By default so on loopback.
    `proxies`: who may say for which address they ask, as the UI does for its browsers."""

    anonymous: bool | None = setting(None)
    session_idle: float = setting("12h", unit="s", minimum=60, maximum=30 * 86400)
    session_lifetime: float = setting("7d", unit="s", minimum=60, maximum=365 * 86400)
    logins_per_minute: int = setting(60, minimum=1, maximum=100_000)
    proxies: tuple[str, ...] = setting(("127.0.0.1", "::1"), check=_networks)

    def lets_anonymous_in(self, *, on_loopback: bool) -> bool:
        """
        Raises:
            ConfigError: everybody who reaches this machine would be let in.
        """
        if self.anonymous and not on_loopback:
            raise ConfigError(
                "access: anonymous: not where listen.api reaches beyond this machine: leave it "
                "out, and give who asks a user (docs/access.md)"
            )
        return on_loopback if self.anonymous is None else self.anonymous
