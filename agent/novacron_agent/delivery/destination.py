"""The tables [[destinations]] of agent.toml: where to, and how."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from novacron_contract.destinations import Compression, check_headers, file_safe, read_headers
from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.settings import setting

DEFAULT_NAME = "default"  # of the destination that [agent] endpoint is


def otlp_url(url: str) -> str:
    """Check a URL of OTLP over HTTP or gRPC. It is not repeated: it may hold a password.

    Raises:
        ConfigError: it is neither, or holds a password.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https", "grpc", "grpcs"):
        raise ConfigError(
            "expected a URL such as http://127.0.0.1:4318 or grpc://127.0.0.1:4317 (https, grpcs)"
        )
    if parts.username is not None:
        raise ConfigError("a user or password belongs into headers_file")
    if parts.query or parts.fragment:
        raise ConfigError("expected nothing behind the path")
    if parts.scheme.startswith("grpc") and (parts.port is None or parts.path.strip("/")):
        raise ConfigError("expected grpc://HOST:PORT or grpcs://HOST:PORT, and nothing behind it")
    return url


def proxy_url(url: str | None) -> str | None:
    """
    Raises:
        ConfigError: it is none. It may hold a password, and is not repeated.
    """
    parts = _split(url) if url is not None else None
    if url is not None and (parts is None or parts.scheme not in ("http", "https")):
        raise ConfigError("expected a URL such as http://proxy.example.com:3128")
    return url


def _split(url: str) -> urllib.parse.SplitResult | None:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:
        return None
    return parts if usable else None


@dataclass(frozen=True, kw_only=True)
class Destination:
    """[[destinations]]"""

    name: str = setting(check=file_safe, doc="Names its spool and its metrics")
    endpoint: str = setting(
        check=otlp_url,
        doc="`http://`, `https://` (`/v1/metrics` is added), `grpc://HOST:PORT` or `grpcs://`",
    )
    headers: Mapping[str, str] = field(
        default_factory=dict, metadata={"unit": None, "doc": "Sent with every request"}
    )
    headers_file: Path | None = setting(
        None, doc="Secret ones: lines `NAME: VALUE`, read again after a failure, never logged"
    )
    ca_file: Path | None = setting(None, doc="Trusted in place of the system's authorities")
    cert_file: Path | None = setting(None, doc="A client certificate")
    key_file: Path | None = setting(None, doc="Its key")
    proxy: str | None = setting(
        None, check=proxy_url, doc="In place of the environment's (`HTTPS_PROXY`, …)"
    )
    compression: Compression = field(
        default=Compression.GZIP, metadata={"unit": None, "doc": "`gzip` or `none`"}
    )
    timeout: float = setting("10s", unit="s", minimum=0.1, maximum=600, doc="For an answer")
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

    def __post_init__(self) -> None:
        files = (self.ca_file, self.cert_file, self.key_file)
        if any(files) and not self.uses_tls:
            raise ConfigError("ca_file, cert_file and key_file need https:// or grpcs://")
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("cert_file and key_file: one needs the other")
        check_headers(self.headers)

    @property
    def is_grpc(self) -> bool:
        return self.endpoint.startswith("grpc")

    @property
    def uses_tls(self) -> bool:
        return self.endpoint.startswith(("https:", "grpcs:"))

    @property
    def is_here(self) -> bool:
        """On this machine: no proxy of the environment is asked for it."""
        return is_loopback(urllib.parse.urlsplit(self.endpoint).hostname or "")

    def all_headers(self) -> dict[str, str]:
        """With those of `headers_file`, which is read each time: secrets change.

        Raises:
            ConfigError: the file cannot be used.
        """
        return {**self.headers, **(read_headers(self.headers_file) if self.headers_file else {})}


def check_names(destinations: Iterable[Destination]) -> None:
    """
    Raises:
        ConfigError: two have the same name: they would share a spool.
    """
    names = [destination.name.lower() for destination in destinations]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"destinations: two are named {name!r}")
