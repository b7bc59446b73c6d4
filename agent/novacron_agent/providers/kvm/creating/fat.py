"""A FAT12 file system of a few small files, as bytes. cloud-init reads its seed from one."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 512  # a cluster is one
_ROOT_ENTRIES = 64
_ROOT = _ROOT_ENTRIES * 32 // SECTOR
_MOST_CLUSTERS = 4084  # more would be FAT16
_DATE = (1980 - 1980) << 9 | 1 << 5 | 1
_END, _MEDIA = 0xFFF, 0xF8
_LABEL, _LONG, _ARCHIVE = 0x08, 0x0F, 0x20
_LONG_PIECE = 13  # UTF-16 units of a name in one entry


def image(label: str, files: Mapping[str, bytes]) -> bytes:
    """`label`: 11 capital letters at most. Names are ASCII; there may be a dozen.

    Raises:
        ValueError: they do not fit.
    """
    table, data, root = [_MEDIA | 0xF00, _END], bytearray(), bytearray(_entry(label, _LABEL, 0, 0))
    for number, (name, content) in enumerate(files.items(), start=1):
        clusters = -(-len(content) // SECTOR)
        first = len(table) if clusters else 0
        table += [*range(first + 1, first + clusters), _END] if clusters else []
        data += content + bytes(clusters * SECTOR - len(content))
        short = f"FILE{number:04}".ljust(11)
        root += _long_name(name, short) + _entry(short, _ARCHIVE, first, len(content))
    clusters = len(table) - 2
    if clusters > _MOST_CLUSTERS or len(root) > _ROOT * SECTOR:
        raise ValueError(f"{len(files)} files of {len(data)} bytes do not fit")
    packed = _packed(table)
    sectors = 1 + 2 * (len(packed) // SECTOR) + _ROOT + clusters
    boot = _boot_sector(label, sectors, len(packed) // SECTOR)
    return boot + packed * 2 + bytes(root.ljust(_ROOT * SECTOR, b"\0")) + bytes(data)


def _boot_sector(label: str, sectors: int, table_sectors: int) -> bytes:
    head = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90",
        b"MSDOS5.0",
        *(SECTOR, 1, 1, 2, _ROOT_ENTRIES, sectors, _MEDIA, table_sectors, 1, 1, 0, 0),
        *(0x80, 0, 0x29, 0x4E4F5641),
        label.ljust(11).encode("ascii"),
        b"FAT12   ",
    )
    return head.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def _packed(table: list[int]) -> bytes:
    """Two entries of twelve bits are three bytes."""
    even = [*table, 0] if len(table) % 2 else table
    pairs = (low | high << 12 for low, high in zip(even[::2], even[1::2], strict=True))
    packed = b"".join(pair.to_bytes(3, "little") for pair in pairs)
    return packed.ljust(-(-len(packed) // SECTOR) * SECTOR, b"\0")


def _entry(short: str, attributes: int, cluster: int, size: int) -> bytes:
    name = short.ljust(11).encode("ascii")
    return struct.pack(
        "<11sBBBHHHHHHHI", name, attributes, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, cluster, size
    )


def _long_name(name: str, short: str) -> bytes:
    units = list(struct.unpack(f"<{len(name)}H", name.encode("utf-16-le")))
    if len(units) % _LONG_PIECE:
        units.append(0)
    units += [0xFFFF] * (-len(units) % _LONG_PIECE)
    check = 0
    for byte in short.encode("ascii"):
        check = ((check >> 1 | check << 7) + byte) & 0xFF
    pieces = [units[at : at + _LONG_PIECE] for at in range(0, len(units), _LONG_PIECE)]
    entries = []
    for number, piece in enumerate(pieces, start=1):
        last = 0x40 if number == len(pieces) else 0
        entries.append(
            struct.pack("<B5HBBB6HH2H", number | last, *piece[:5], _LONG, 0, check, *piece[5:11],
                        0, *piece[11:])
        )  # fmt: skip
    return b"".join(reversed(entries))
