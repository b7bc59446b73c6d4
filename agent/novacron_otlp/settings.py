"""What a settings file says of one destination of OTLP: where it is, and the way to it."""

from __future__ import annotations

import re
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.settings import setting
from novacron_otlp.headers import check_headers, read_headers

METRICS_PATH = "/v1/metrics"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Compression(StrEnum):
    GZIP = "gzip"
    NONE = "none"


def file_safe(name: str) -> str:
    """Check a destination's name, which becomes that of a file or a folder.

    Raises:
        ConfigError: it is no such name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"expected letters, digits, - and _, 64 at most, got {name!r}")
    return name


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
    behind = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme.startswith("grpc") and (parts.port is None or behind):
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
class ClientSettings(ABC):
    """What the tables of agent and collector have in common; each says in a key of its own where
    the destination is."""

    name: str = setting(check=file_safe, doc="Names what is on disk for it, and its metrics")
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
        None,
        check=proxy_url,
        doc="In place of the environment's (`HTTPS_PROXY`, …), which the agent alone asks",
    )
    compression: Compression = field(
        default=Compression.GZIP, metadata={"unit": None, "doc": "`gzip` or `none`"}
    )
    timeout: float = setting("10s", unit="s", minimum=0.1, maximum=600, doc="For an answer")

    @property
    @abstractmethod
    def target(self) -> str:
        """http(s)://HOST[:PORT]/PATH of the requests, or grpc(s)://HOST:PORT."""

    def __post_init__(self) -> None:
        if any((self.ca_file, self.cert_file, self.key_file)) and not self.uses_tls:
            raise ConfigError("ca_file, cert_file and key_file need https:// or grpcs://")
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("cert_file and key_file: one needs the other")
        if self.is_grpc and (self.proxy or "").startswith("https:"):
            raise ConfigError("proxy: gRPC goes through http:// alone")
        check_headers(self.headers, grpc=self.is_grpc)

    @property
    def is_grpc(self) -> bool:
        return self.target.startswith("grpc")

    @property
    def uses_tls(self) -> bool:
        return self.target.startswith(("https:", "grpcs:"))

    @property
    def is_here(self) -> bool:
        """On this machine."""
        return is_loopback(urllib.parse.urlsplit(self.target).hostname or "")

    def certificates(self) -> object:
        """Another one when a file of them was replaced."""
        files = (self.ca_file, self.cert_file, self.key_file)
        try:
            found = [path.stat() for path in files if path is not None]
        except OSError:
            return None
        return [(one.st_mtime_ns, one.st_ino) for one in found]

    def all_headers(self) -> dict[str, str]:
        """With those of `headers_file`, which is read each time: secrets change.

        Raises:
            ConfigError: the file cannot be used.
        """
        if self.headers_file is None:
            return dict(self.headers)
        return {**self.headers, **read_headers(self.headers_file, grpc=self.is_grpc)}


def check_names(destinations: Iterable[ClientSettings], table: str) -> None:
    """
    Raises:
        ConfigError: two have the same name: they would share a file or a folder.
    """
    names = [destination.name.lower() for destination in destinations]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{table}: two destinations are named {name!r}")
