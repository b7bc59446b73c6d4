"""Who asks: `service` (our components, everything) or `reader` (people, the allow-list)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from novacron_store.server.failures import AUTHENTICATION_FAILED, EngineError


class Principal(StrEnum):
    SERVICE = "service"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Passwords:
    service: str
    reader: str

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Principal:
        """The principal a request proves to be: Basic, X-ClickHouse-User/-Key, or parameters.

        Raises:
            EngineError: the name and the password do not belong together.
        """
        user, password = _credentials(headers, query)
        known = {Principal.SERVICE: self.service, Principal.READER: self.reader}
        matched = [name for name, secret in known.items() if _same(user, name, password, secret)]
        if not matched:
            raise EngineError.of(
                AUTHENTICATION_FAILED,
                "Authentication failed: password is incorrect, or there is no such user",
            )
        return matched[0]


def _credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    if "x-clickhouse-user" in headers:
        return headers["x-clickhouse-user"], headers.get("x-clickhouse-key", "")
    return query.get("user", ""), query.get("password", "")


def _same(user: str, name: str, password: str, secret: str) -> bool:
    """Compared in constant time, by digests so that lengths do not tell either."""
    given, expected = _digest(f"{user}\0{password}"), _digest(f"{name}\0{secret}")
    return hmac.compare_digest(given, expected)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
