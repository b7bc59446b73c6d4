"""The tables [[destinations]] of agent.toml: where to, and how."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

from novacron_contract.errors import ConfigError
from novacron_contract.settings import setting
from novacron_otlp.settings import METRICS_PATH, ClientSettings, otlp_url

DEFAULT_NAME = "default"  # of the destination that [agent] endpoint is


def base_url(url: str) -> str:
    """Check a URL of OTLP, to which the path of metrics can be added.

    Raises:
        ConfigError: it is none, or holds a password. It is not repeated.
    """
    parts = urllib.parse.urlsplit(otlp_url(url))
    if parts.query or parts.fragment:
        raise ConfigError("expected nothing behind the path")
    return url


@dataclass(frozen=True, kw_only=True)
class Destination(ClientSettings):
    """[[destinations]]"""

    endpoint: str = setting(
        check=base_url,
        doc="`http://`, `https://` (`/v1/metrics` is added), `grpc://HOST:PORT` or `grpcs://`",
    )
    spool_size: int = setting(
        256 * 2**20,
        unit="By",
        minimum=4 * 2**20,
        maximum=1024**4,
        doc="Disk for what waits; the oldest goes first when it is full",
    )
    spool_age: float = setting(
        "72h", unit="s", minimum=60, maximum=10 * 365 * 86400, doc="What waited longer goes"
    )

    @property
    def target(self) -> str:
        base = self.endpoint.rstrip("/")
        whole = base.startswith("grpc") or base.endswith(METRICS_PATH)
        return base if whole else base + METRICS_PATH
