"""A segment: a file of frames that is appended to, sealed, written to the store, and removed."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from novacron_collector.wal import frames

SUFFIX = ".seg"
_NAME = re.compile(r"(\d{12})-[0-9a-f]{16}")


class Segment:
    """A sealed one: what is in it never changes. `size` in bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self.size = path.stat().st_size
        self.since = path.stat().st_mtime  # unix seconds: the last append

    def read(self) -> frames.Scan:
        """
        Raises:
            OSError: the disk does not give it back.
        """
        # Not mapped: a disk that fails would end the process instead of raising an error.
        return frames.scan(memoryview(self.path.read_bytes()))

    def metas(self) -> list[bytes]:
        with self.path.open("rb") as file:
            return frames.metas(file)


class OpenSegment:
    """The one that is appended to. `weight` is the sum of what its frames weigh."""

    def __init__(self, folder: Path, number: int, now: float) -> None:
        self.path = folder / f"{number:012d}-{secrets.token_hex(8)}{SUFFIX}"
        self.opened = now
        self.weight = 0
        self.size = 0
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        sync_folder(folder)

    def append(self, meta: bytes, data: Sequence[bytes | memoryview], weight: int) -> None:
        """On disk when this returns. After an error the segment is as it was before, or must be
        sealed: what could be left over at its end is a torn frame.

        Raises:
            OSError: it is not on disk.
        """
        pieces = frames.frame(meta, data)
        try:
            size = _write(self._handle, pieces)
            os.fdatasync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self.size)
            os.lseek(self._handle, self.size, os.SEEK_SET)
            raise
        self.size += size
        self.weight += weight

    def seal(self) -> Segment | None:
        """None: nothing was ever in it."""
        os.close(self._handle)
        if self.size:
            return Segment(self.path)
        self.path.unlink()
        return None


def sealed(folder: Path) -> list[Segment]:
    """What an earlier process left, oldest first."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    return [Segment(path) for path in paths if _NAME.fullmatch(path.stem)]


def number_of(segment: Segment) -> int:
    return int(segment.name.partition("-")[0])


def sync_folder(folder: Path) -> None:
    """Make names in `folder` as durable as what they name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(handle: int, pieces: Sequence[bytes | memoryview]) -> int:
    """Write all of it, in as few calls as the system takes."""
    left = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    total = sum(len(piece) for piece in left)
    while left:
        written = os.writev(handle, left[:512])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return total
