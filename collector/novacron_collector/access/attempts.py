"""How often somebody may try a password: wrong ones lock out, and too many at once wait.

Names and addresses are whatever a stranger sends: no more than `most` of either are kept, the ones
heard of last.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from novacron_contract.errors import TooMany, Unauthenticated

WRONG = 5  # passwords ...
WRONG_VIA = 50  # ... by one proxy, whatever addresses it tells: it could make them up ...
WITHIN_S = 15 * 60.0  # ... in that time ...
LOCKED_S = 15 * 60.0  # ... close the door for that long, to that name from that source

T = TypeVar("T")


@dataclass
class _Door:
    """Of one name, to one source, or by one proxy."""

    most: int = WRONG
    wrong: deque[float] = field(default_factory=deque)
    trying: int = 0
    locked_until: float = 0.0


@dataclass
class _Allowance:
    """Of one source: what is left of it, and when that was so."""

    left: float
    at: float


class _Latest(OrderedDict[str, T], Generic[T]):
    """The last `most` that were asked for."""

    def __init__(self, most: int, make: Callable[[], T]) -> None:
        super().__init__()
        self._most, self._make = most, make

    def of(self, key: str) -> T:
        value = self.setdefault(key, self._make())
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)
        return value


class Attempts:
    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        most: int = 10_000,
    ) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._lock = threading.Lock()
        self._doors = _Latest(most, _Door)
        self._allowances = _Latest(most, lambda: _Allowance(float(per_minute), clock()))

    @contextmanager
    def attempt(self, name: str, source: str, via: str = "") -> Iterator[None]:
        """While a password is tried. It was wrong if the block raises Unauthenticated. `via`: the
        proxy by whose word `source` is.

        Raises:
            TooMany: it may not be tried now.
        """
        network = network_of(source)
        with self._lock:
            self._spend(network)
            doors = [self._doors.of(f"{network} {name}")]
            if via:
                doors.append(self._doors.of(f"via {network_of(via)} {name}"))
                doors[-1].most = WRONG_VIA
            self._enter(doors)
        try:
            yield
        except Unauthenticated:
            with self._lock:
                for door in doors:
                    self._count_wrong(door)
            raise
        else:
            with self._lock:
                for door in doors:
                    door.wrong.clear()
        finally:
            with self._lock:
                for door in doors:
                    door.trying -= 1

    def __len__(self) -> int:
        return max(len(self._doors), len(self._allowances))

    def _spend(self, network: str) -> None:
        allowance, now = self._allowances.of(network), self._clock()
        back = (now - allowance.at) * self._per_minute / 60
        allowance.left, allowance.at = min(allowance.left + back, float(self._per_minute)), now
        if allowance.left < 1:
            raise TooMany("too many logins from this address: try again in a minute")
        allowance.left -= 1

    def _enter(self, doors: Sequence[_Door]) -> None:
        for door in doors:
            self._must_be_open(door)
        for door in doors:
            door.trying += 1

    def _must_be_open(self, door: _Door) -> None:
        now = self._clock()
        if door.locked_until > now:
            minutes = math.ceil((door.locked_until - now) / 60)
            raise TooMany(f"too many wrong passwords: try again in {minutes} min")
        while door.wrong and door.wrong[0] <= now - WITHIN_S:
            door.wrong.popleft()
        # Those being tried may be wrong, too: many at once are no way to try more.
        if len(door.wrong) + door.trying >= door.most:
            raise TooMany("this name is being logged in several times at once: try again")

    def _count_wrong(self, door: _Door) -> None:
        door.wrong.append(self._clock())
        if len(door.wrong) >= door.most:
            door.wrong.clear()
            door.locked_until = self._clock() + LOCKED_S


def network_of(source: str) -> str:
    """Who has one address of IPv6 has its whole network of 64 bits."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
