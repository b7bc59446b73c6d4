"""The tables [[forward]] of collector.toml: where to, how, and what of it."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from novacron_contract.destinations import Compression, check_headers, file_safe, read_headers
from novacron_contract.errors import ConfigError
from novacron_contract.settings import http_url, setting


def otlp_url(url: str) -> str:
    """Check a URL of OTLP over HTTP or gRPC. What is wrong with it is told without repeating it.

    Raises:
        ConfigError: it is neither, or holds a password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts = urllib.parse.urlsplit("")
        port = host = None
    grpc = parts.scheme in ("grpc", "grpcs")
    usable = bool(host) and port != 0 and not re.search(r"\s", url)
    if not usable or not (grpc or parts.scheme in ("http", "https")):
        raise ConfigError("expected http(s)://HOST:PORT/v1/metrics or grpc(s)://HOST:PORT")
    if parts.username is not None:
        raise ConfigError("a user or password belongs into headers_file")
    if grpc and (port is None or parts.path.strip("/") or parts.query):
        raise ConfigError("expected grpc://HOST:PORT or grpcs://HOST:PORT, and nothing behind it")
    return url


@dataclass(frozen=True, kw_only=True)
class ForwardSettings:
    """One destination. `metrics`, `exclude_metrics` and the values of `where` are globs."""

    name: str = setting(check=file_safe)
    url: str = setting(check=otlp_url)
    headers: Mapping[str, str] = field(default_factory=dict)
    headers_file: Path | None = setting(None)
    ca_file: Path | None = setting(None)
    cert_file: Path | None = setting(None)
    key_file: Path | None = setting(None)
    proxy: str | None = setting(None, check=lambda url: url is None or http_url(url))
    compression: Compression = Compression.GZIP
    timeout: float = setting("10s", unit="s", minimum=0.1, maximum=600)
    queue_size: float = setting("1GiB", unit="By", minimum=16 * 2**20)
    queue_age: float = setting("72h", unit="s", minimum=1)
    metrics: tuple[str, ...] = ()
    exclude_metrics: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        files = (self.ca_file, self.cert_file, self.key_file)
        if any(files) and not self.uses_tls:
            raise ConfigError("ca_file, cert_file and key_file need https:// or grpcs://")
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("cert_file and key_file: one needs the other")
        if self.proxy is not None and self.is_grpc:
            raise ConfigError("proxy: only for http:// and https://")
        check_headers(self.headers)

    @property
    def is_grpc(self) -> bool:
        return self.url.startswith("grpc")

    @property
    def uses_tls(self) -> bool:
        return self.url.startswith(("https:", "grpcs:"))

    def all_headers(self) -> dict[str, str]:
        """With those of `headers_file`, which is read each time: secrets change.

        Raises:
            ConfigError: the file cannot be used.
        """
        return {**self.headers, **(read_headers(self.headers_file) if self.headers_file else {})}


def check_names(destinations: Iterable[ForwardSettings]) -> None:
    """
    Raises:
        ConfigError: two have the same name: they would share a queue.
    """
    names = [destination.name.lower() for destination in destinations]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"forward: two destinations are named {name!r}")
