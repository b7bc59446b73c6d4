"""What one commit puts into a queue: the requests' bodies, compressed together, in one frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import zstandard

from novacron_collector.wal.frames import Frame

_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Item:
    """A request: an OTLP body, and its points."""

    body: bytes
    points: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """A frame's two parts; every queue gets the same ones."""

    meta: bytes
    data: bytes

    @property
    def size(self) -> int:
        return len(self.meta) + len(self.data)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a frame's meta tells without its data: when it came (unix seconds), and the points of
    each request."""

    at: float
    lengths: list[int]
    points: list[int]


def pack(items: Sequence[Item], at: float) -> Parcel:
    head = {"at": at, "lengths": [len(i.body) for i in items], "points": [i.points for i in items]}
    whole = b"".join(item.body for item in items)
    return Parcel(orjson.dumps(head), zstandard.ZstdCompressor(level=_LEVEL).compress(whole))


def contents(meta: bytes) -> Contents:
    return Contents(**orjson.loads(meta))


def unpack(frame: Frame) -> Iterator[Item]:
    head = contents(frame.meta)
    whole = zstandard.ZstdDecompressor().decompress(frame.data)
    at = 0
    for length, points in zip(head.lengths, head.points, strict=True):
        yield Item(whole[at : at + length], points)
        at += length
