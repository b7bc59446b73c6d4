"""Requests that the collector dies of, or fails on again and again: kept apart, so that no sender
can stop it for the others.

Which requests are in hand is written down before they are decoded. A process that starts and finds
some knows that the one before it ended with them: from then on each of them is handled alone, and
one that is in hand, or fails, five times goes to a folder and is refused. The file is not synced:
it has to outlive this process, not the machine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from novacron_collector.wal.batches import KEY_BYTES

log = logging.getLogger(__name__)

_TIMES = 5  # whoever kills this process from outside meets the same request now and then
_MAX_SUSPECTS = 10_000


class Poison:
    """Serves one thread. `kept_bytes`: what the folder may hold; what does not fit is refused all
    the same."""

    def __init__(self, folder: Path, kept_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._kept_bytes = kept_bytes
        self._suspects = _read_suspects(folder / "suspects.json")
        self.letters = len(list(folder.glob("*.otlp")))
        self._in_hand = os.open(folder / "in-hand", os.O_RDWR | os.O_CREAT, 0o600)
        self._blame(_keys_in(self._in_hand))

    def suspects(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those to be handled alone."""
        return {key for key in keys if key in self._suspects}

    def is_poison(self, key: bytes) -> bool:
        return self._suspects.get(key, 0) >= _TIMES

    @contextmanager
    def in_hand(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Should the process end inside the block, the next one knows of what."""
        os.pwrite(self._in_hand, len(keys).to_bytes(4, "little") + b"".join(keys), 0)
        try:
            yield
        finally:
            os.pwrite(self._in_hand, bytes(4), 0)

    def failed(self, key: bytes) -> None:
        self._count(key, 1)
        self._save()

    def cleared(self, keys: Iterable[bytes]) -> None:
        """They were handled well."""
        found = self.suspects(keys)
        if found:
            self._suspects = {k: n for k, n in self._suspects.items() if k not in found}
            self._save()

    def keep(self, key: bytes, body: bytes) -> None:
        """Put a poisoned body where a person can look at it."""
        path = self._folder / f"{key.hex()}.otlp"
        if path.exists():
            return
        used = sum(letter.stat().st_size for letter in self._folder.glob("*.otlp"))
        if used + len(body) > self._kept_bytes:
            log.error("a request that cannot be handled is refused, and not kept: %s is full", path)
            return
        try:
            path.write_bytes(body)
        except OSError as err:
            log.error("a request that cannot be handled is not kept: %s", err.strerror)
            return
        self.letters += 1
        log.error("a request that cannot be handled is refused, and kept as %s", path)

    def close(self) -> None:
        os.close(self._in_hand)

    def _blame(self, keys: Sequence[bytes]) -> None:
        """One that was alone is to blame; of several each may be."""
        if not keys:
            return
        for key in keys:
            self._count(key, len(keys) == 1)
        log.error("the process before this one ended with %d requests in hand", len(keys))
        os.pwrite(self._in_hand, bytes(4), 0)
        self._save()

    def _count(self, key: bytes, times: int) -> None:
        self._suspects[key] = self._suspects.get(key, 0) + times
        while len(self._suspects) > _MAX_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def _save(self) -> None:
        text = orjson.dumps({key.hex(): times for key, times in self._suspects.items()})
        new = self._folder / "suspects.new"
        try:
            new.write_bytes(text)
            new.replace(self._folder / "suspects.json")
        except OSError as err:
            log.error("suspected requests cannot be written down: %s", err.strerror)


def _keys_in(handle: int) -> list[bytes]:
    count = int.from_bytes(os.pread(handle, 4, 0), "little")
    found = os.pread(handle, min(count, _MAX_SUSPECTS) * KEY_BYTES, 4)
    return [found[at : at + KEY_BYTES] for at in range(0, len(found), KEY_BYTES)]


def _read_suspects(path: Path) -> dict[bytes, int]:
    try:
        found = orjson.loads(path.read_bytes())
        return {bytes.fromhex(key): int(times) for key, times in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as err:
        log.error("%s cannot be read, and is begun anew: %s", path, err)
        return {}
