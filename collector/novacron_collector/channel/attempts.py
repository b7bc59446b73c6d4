"""How often one address may fail to join, and what the audit is told of it."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from novacron_contract.errors import TooMany

_BURST = 20.0
_PER_S = 1 / 6
_REMEMBERED = 10_000  # addresses
_RECORDED_EVERY_S = 60.0


@dataclass
class _Failures:
    room: float = _BURST
    seen: float = 0.0
    recorded: float | None = None
    unrecorded: int = 0


@dataclass
class Attempts:
    """Failures alone count: a hundred hosts behind one address may join at a time."""

    clock: Callable[[], float] = time.monotonic
    _failures: OrderedDict[str, _Failures] = field(default_factory=OrderedDict)

    def check(self, source: str) -> None:
        """
        Raises:
            TooMany: this address failed too often.
        """
        known = self._failures.get(_network(source))
        if known is not None and self._room(known) < 1:
            raise TooMany("too many attempts from this address have failed: try again in a minute")

    def failed(self, source: str) -> int:
        """How many failures are to be put on record now; 0: later, with those to come."""
        known = self._failures.setdefault(_network(source), _Failures(seen=self.clock()))
        self._failures.move_to_end(_network(source))
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
        now = self.clock()
        known.room = max(0.0, self._room(known) - 1)
        known.seen = now
        known.unrecorded += 1
        if known.recorded is not None and now < known.recorded + _RECORDED_EVERY_S:
            return 0
        count, known.unrecorded, known.recorded = known.unrecorded, 0, now
        return count

    def _room(self, known: _Failures) -> float:
        return min(_BURST, known.room + (self.clock() - known.seen) * _PER_S)


def _network(source: str) -> str:
    """Of IPv6 a customer has 2**64 addresses at the least."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
