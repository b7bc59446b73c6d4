"""Frames: what one append left in a file, with checksums that tell a torn or damaged one.

A frame is a header, its meta (small, read at every start) and its data (read when it is written to
the store). The header's checksum covers lengths and meta, so that neither can lead astray; whatever
is damaged, reading goes on at the next frame that is whole.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import xxhash

MAGIC = b"NCw1"
_HEADER = struct.Struct("<4sIQQQ")  # magic, length of meta and of data, checksums of both
_LENGTHS = struct.Struct("<IQ")
HEADER_BYTES = _HEADER.size
_MAX_META = 64 * 2**20  # no append has more: a damaged length must not fill the memory


@dataclass(frozen=True, slots=True)
class Frame:
    """`data` is a view of what was read: no copy."""

    meta: bytes
    data: memoryview


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds. `damaged`: places where something that was written cannot be read.
    `torn`: it ends within a frame, as after a crash within an append, which nobody was told of."""

    frames: list[Frame]
    damaged: int = 0
    torn: bool = False


def frame(meta: bytes, data: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """The pieces to be written one after another."""
    digest = xxhash.xxh3_64()
    for piece in data:
        digest.update(piece)
    lengths = _LENGTHS.pack(len(meta), sum(len(piece) for piece in data))
    checksums = (xxhash.xxh3_64_intdigest(lengths + meta), digest.intdigest())
    return [_HEADER.pack(MAGIC, *_LENGTHS.unpack(lengths), *checksums), meta, *data]


def scan(file: memoryview) -> Scan:
    """Every frame of `file` that is whole, in order."""
    frames: list[Frame] = []
    damaged, at = 0, 0
    while at < len(file):
        found = _read(file, at)
        if found is not None:
            frames.append(found)
            at += HEADER_BYTES + len(found.meta) + len(found.data)
            continue
        later = _next(file, at + 1)
        if later is None:
            torn = _is_torn(file, at)
            return Scan(frames, damaged + (not torn), torn)
        damaged, at = damaged + 1, later
    return Scan(frames, damaged)


def metas(file: BinaryIO) -> list[bytes]:
    """The metas of a file's frames, without their data as long as nothing is damaged. A frame that
    the file ends within is none: nobody was told that it is stored."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    found: list[bytes] = []
    while head := file.read(HEADER_BYTES):
        meta = _meta(head, file)
        if meta is None or file.tell() + _HEADER.unpack(head)[2] > end:
            file.seek(0)
            return [whole.meta for whole in scan(memoryview(file.read())).frames]
        found.append(meta)
        file.seek(_HEADER.unpack(head)[2], os.SEEK_CUR)
    return found


def _meta(head: bytes, file: BinaryIO) -> bytes | None:
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        return None
    _, meta_length, length, checksum, _ = _HEADER.unpack(head)
    meta = file.read(min(meta_length, _MAX_META))
    lengths = _LENGTHS.pack(meta_length, length)
    return meta if xxhash.xxh3_64_intdigest(lengths + meta) == checksum else None


def _head(file: memoryview, at: int) -> tuple[bytes, int, int] | None:
    """Meta, length and checksum of the data of the frame that starts here, if one does."""
    if len(file) - at < HEADER_BYTES:
        return None
    magic, meta_length, length, meta_checksum, checksum = _HEADER.unpack_from(file, at)
    start = at + HEADER_BYTES
    if magic != MAGIC or meta_length > len(file) - start:
        return None
    meta = bytes(file[start : start + meta_length])
    if xxhash.xxh3_64_intdigest(_LENGTHS.pack(meta_length, length) + meta) != meta_checksum:
        return None
    return meta, length, checksum


def _read(file: memoryview, at: int) -> Frame | None:
    head = _head(file, at)
    if head is None:
        return None
    meta, length, checksum = head
    start = at + HEADER_BYTES + len(meta)
    data = file[start : start + length]
    if len(data) < length or xxhash.xxh3_64_intdigest(data) != checksum:
        return None
    return Frame(meta, data)


def _next(file: memoryview, at: int) -> int | None:
    """Where the next whole frame starts. Damage is rare, so that this may copy and be slow."""
    rest = bytes(file[at:])
    found = rest.find(MAGIC)
    while found >= 0:
        if _read(file, at + found) is not None:
            return at + found
        found = rest.find(MAGIC, found + 1)
    return None


def _is_torn(file: memoryview, at: int) -> bool:
    """Does the file end before what starts here does? Then it was never acknowledged."""
    rest = len(file) - at
    if rest < HEADER_BYTES:
        return bytes(file[at : at + 4]) == MAGIC[: min(rest, 4)]
    magic, meta_length, length, _, _ = _HEADER.unpack_from(file, at)
    return bool(magic == MAGIC and rest < HEADER_BYTES + meta_length + length)
