"""Headers that an operator adds to requests, and the file of the secret ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from novacron_contract.errors import ConfigError

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METADATA = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")  # gRPC's; -bin is for bytes
_OURS = {"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "te"}


def read_headers(path: Path, *, grpc: bool = False) -> dict[str, str]:
    """Lines NAME: VALUE. What is wrong with one is told by its number: it may be a secret all over.

    Raises:
        ConfigError: the file cannot be read, or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        reason = getattr(err, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from err
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, value = (part.strip() for part in line.partition(":"))
        try:
            check_headers({name: value}, grpc=grpc)
        except ConfigError:
            raise ConfigError(f"{path}: line {number}: expected NAME: VALUE") from None
        headers[name] = value
    return headers


def check_headers(headers: Mapping[str, str], *, grpc: bool = False) -> None:
    """Values may be secrets, and are not repeated. `grpc`: as metadata, whose names are fewer.

    Raises:
        ConfigError: one cannot be sent, or is ours to send.
    """
    for name, value in headers.items():
        allowed = _METADATA.fullmatch(name.lower()) if grpc else _HEADER.fullmatch(name)
        if not allowed or name.lower() in _OURS:
            raise ConfigError("headers: one of the names is not allowed")
        if not value or not value.isascii() or not value.isprintable():
            raise ConfigError(f"headers: {name}: expected printable ASCII text")
