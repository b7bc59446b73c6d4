"""By which names this server may be asked: a web page elsewhere that lets its own name point here
must not read answers through its visitor's browser."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from novacron_contract.names import plain_name

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([^:\[\]\s/@]{1,253}))(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class TrustedNames:
    """Names and addresses; those of IPv6 in brackets or not, in any spelling."""

    names: frozenset[str]

    @classmethod
    def of(cls, names: Collection[str]) -> TrustedNames:
        return cls(frozenset(plain_name(name.strip("[]")) for name in names))

    def has_host(self, host: str) -> bool:
        """Whether a request's Host, with its port or without, is one of them."""
        match = _HOST.fullmatch(host)
        return match is not None and plain_name(match[1] or match[2]) in self.names

    def has_origin(self, origin: str) -> bool:
        """Whether a page that asks is one of this server's."""
        try:
            host = urlsplit(origin).hostname
        except ValueError:
            return False
        return host is not None and plain_name(host) in self.names
