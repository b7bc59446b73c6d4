"""What the header of a qcow2 image says of other files. It may be a guest's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = 4096  # bytes of it that are read
_MAGIC, _EXTERNAL_DATA, _FEATURES_AT = b"QFI\xfb", 1 << 2, 72
_LENGTH_AT, _LEAST = 100, 104
_BACKING_FORMAT = 0xE2792ACA
_SNAPSHOTS_AT = 60
_SNAPSHOT = struct.Struct(">QIHHIIQII")  # of which lengths of id, name and what is in between count


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: str
    name: str


def has_external_data(header: bytes) -> bool:
    if header[:4] != _MAGIC or len(header) < _FEATURES_AT + 8:
        return False
    (version,) = struct.unpack_from(">I", header, 4)
    (features,) = struct.unpack_from(">Q", header, _FEATURES_AT)
    return bool(version >= 3 and features & _EXTERNAL_DATA)


def backing_formats(header: bytes) -> set[str]:
    """As what it says that the volume below is to be read: empty where it leaves that to whoever
    looks into it, or where that is not all in the header."""
    if header[:4] != _MAGIC or len(header) < _LEAST:
        return set()
    version, end = struct.unpack_from(">IQ", header, 4)  # its extensions end where a name begins
    (at,) = struct.unpack_from(">I", header, _LENGTH_AT) if version >= 3 else (_FEATURES_AT,)
    said = set()
    while at + 8 <= end:
        if at + 8 > len(header):
            return set()
        kind, size = struct.unpack_from(">II", header, at)
        if kind == 0:
            break
        if kind == _BACKING_FORMAT:
            said.add(header[at + 8 : at + 8 + size].decode("ascii", "replace"))
        at += 8 + -(-size // 8) * 8
    return said


def table_of_snapshots(header: bytes) -> tuple[int, int]:
    """How many snapshots the image has, and where that is told."""
    if header[:4] != _MAGIC or len(header) < _FEATURES_AT:
        return 0, 0
    number, offset = struct.unpack_from(">IQ", header, _SNAPSHOTS_AT)
    return number, offset


def snapshots(table: bytes, number: int) -> list[Snapshot] | None:
    """None: the table is longer than what is given, or is none."""
    found, at = [], 0
    for _ in range(number):
        if at + _SNAPSHOT.size > len(table):
            return None
        _, _, id_size, name_size, _, _, _, _, more = _SNAPSHOT.unpack_from(table, at)
        begin = at + _SNAPSHOT.size + more
        end = begin + id_size + name_size
        if end > len(table):
            return None
        texts = (table[begin : begin + id_size], table[begin + id_size : end])
        found.append(Snapshot(*(one.decode(errors="replace") for one in texts)))
        at = -(-end // 8) * 8
    return found
