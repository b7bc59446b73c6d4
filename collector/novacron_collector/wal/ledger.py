"""Which requests were stored, so that one that is sent again is acknowledged and not stored again.

A request is known by the SHA-256 of its bytes as they came, cut to 128 bits. Requests of the log's
segments are known from the segments; when a segment is removed, its keys go to a file of the hour.
Losing some of them (a full disk, a power cut) does no harm: the same samples are stored again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from novacron_collector.wal.batches import KEY_BYTES

log = logging.getLogger(__name__)

_FILE_S = 3600
_SORT_FROM = 65_536  # so many keys are worth an array of their own: 16 bytes a key instead of 100
_GZIP = b"\x1f\x8b"
_NAME = re.compile(r"(\d+)\.keys")


def key_of(sent: bytes) -> bytes:
    """The key of a request's bytes as they came. The time of compression, which gzip writes into
    its header, is left out: a sender may compress again what it sends again."""
    digest = hashlib.sha256()
    if sent.startswith(_GZIP):
        digest.update(sent[:4])
        sent = sent[8:]
    digest.update(sent)
    return digest.digest()[:KEY_BYTES]


class _Period:
    """The keys of one hour: the newest in a set, the others in sorted arrays."""

    def __init__(self) -> None:
        self._new: set[bytes] = set()
        self._old: list[np.ndarray[tuple[int], np.dtype[np.bytes_]]] = []
        self.count = 0

    def add(self, keys: Iterable[bytes]) -> None:
        self._new.update(keys)
        if len(self._new) >= _SORT_FROM:
            self._old.append(np.sort(np.array(list(self._new), f"S{KEY_BYTES}")))
            self._new = set()
        self.count = len(self._new) + sum(len(keys) for keys in self._old)

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        found = self._new.intersection(keys)
        wanted = np.array(keys, f"S{KEY_BYTES}")
        for old in self._old:
            at = np.minimum(np.searchsorted(old, wanted), len(old) - 1)
            found.update(keys[hit] for hit in np.flatnonzero(old[at] == wanted).tolist())
        return found


class Ledger:
    """Remembers for `seconds`, `capacity` requests at most. `known` and `add` are one thread's,
    `save` and `forget` are another's."""

    def __init__(self, folder: Path, seconds: float, capacity: int, now: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._capacity = capacity
        self._periods: dict[int, _Period] = {}
        self._forgotten: set[bytes] = set()  # hardly ever any
        self._guard = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for hour, path in sorted(_files(folder).items()):
            self._period(hour).add(_keys(path))
        self._expire(now)

    def __len__(self) -> int:
        return sum(period.count for period in list(self._periods.values()))  # from any thread

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set().union(*(p.known(keys) for p in self._periods.values()))
        with self._guard:
            return found - self._forgotten

    def add(self, keys: Iterable[bytes], now: float) -> None:
        """They are in the log."""
        hour, keys = _hour(now), list(keys)
        with self._guard:
            self._forgotten.difference_update(keys)
        if hour not in self._periods:
            self._expire(now)
        self._period(hour).add(keys)
        if len(self) > self._capacity:
            del self._periods[min(self._periods)]

    def forget(self, keys: Iterable[bytes]) -> None:
        """They are lost: sent again, they are to be stored."""
        with self._guard:
            self._forgotten.update(keys)

    def save(self, keys: Iterable[bytes], now: float) -> None:
        """They are about to leave the log."""
        path = self._folder / f"{_hour(now)}.keys"
        try:
            with path.open("ab") as file:
                file.truncate(file.tell() // KEY_BYTES * KEY_BYTES)  # a crash may have cut one off
                file.write(b"".join(keys))
        except OSError as err:
            log.warning("the ledger cannot be written, and is shorter: %s", err.strerror)

    def _period(self, hour: int) -> _Period:
        return self._periods.setdefault(hour, _Period())

    def _expire(self, now: float) -> None:
        oldest = _hour(now - self._seconds)
        for hour in [hour for hour in self._periods if hour < oldest]:
            del self._periods[hour]
        for hour, path in _files(self._folder).items():
            if hour < oldest:
                path.unlink(missing_ok=True)


def _hour(now: float) -> int:
    return int(now // _FILE_S) * _FILE_S


def _files(folder: Path) -> dict[int, Path]:
    named = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(name[1]): path for name, path in named if name}


def _keys(path: Path) -> list[bytes]:
    """A record that a crash cut off is left out."""
    content = path.read_bytes()
    whole = len(content) // KEY_BYTES * KEY_BYTES
    return [content[at : at + KEY_BYTES] for at in range(0, whole, KEY_BYTES)]
