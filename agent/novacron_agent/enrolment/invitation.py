"""The line that a collector's administrator gives: https://HOST:PORT#PIN:SECRET."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field

from novacron_contract.errors import ConfigError

MAX_LINE = 1024
_FRAGMENT = re.compile(r"([A-Za-z0-9_-]{43}):(nvj_[A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Invitation:
    """`pin`: SHA-256 of the public key of the collector's authority, base64url."""

    host: str
    port: int
    pin: str
    secret: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"https://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def invitation(line: str) -> Invitation:
    """
    Raises:
        ConfigError: it is none. It is not repeated: it holds a secret.
    """
    try:
        parts = urllib.parse.urlsplit(line.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    found = _FRAGMENT.fullmatch(parts.fragment) if parts is not None else None
    is_plain = parts is not None and parts.scheme == "https" and not (parts.query or parts.username)
    if not found or not is_plain or not host or not port:
        raise ConfigError(
            "expected on standard input the line that `novacron agent invite` prints: "
            "https://HOST:PORT#PIN:SECRET"
        )
    return Invitation(host, port, found[1], found[2])
