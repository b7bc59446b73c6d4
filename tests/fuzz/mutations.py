"""Bodies that are nearly right: changed byte by byte, or field by field."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

from fuzz import wire
from fuzz.wire import Field

_MOST_BYTES = 256 * 1024  # what repeating something may make of a body
_INTEGERS = [
    0,
    1,
    2,
    127,
    128,
    255,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
_DOUBLES = [0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan")]
_TEXTS = [b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", "ü€😀".encode(), b"x" * 300, b"y" * 70_000]
_STALE_MARKER = (0x7FF0000000000002).to_bytes(8, "little")


class Mutator:
    """Deterministic: the same seeds and dice give the same bodies."""

    def __init__(self, seeds: Sequence[bytes], descriptor: Any, dice: random.Random) -> None:
        self._seeds = seeds
        self._dice = dice
        self._trees = [wire.parse(seed, descriptor) for seed in seeds]
        pool = [one for tree in self._trees for one in wire.every(tree)]
        self._pool = [one for one in pool if len(one.encoded) < 2048]
        self._changes = (
            self._drop,
            self._double,
            self._repeat,
            self._shuffle,
            self._renumber,
            self._rewire,
            self._lie,
            self._replace,
            self._replace,
            self._replace,
            self._nest,
            self._insert,
            self._pad,
        )

    def body(self) -> bytes:
        dice = self._dice
        at = dice.randrange(len(self._seeds))
        body = self._changed(self._trees[at]) if dice.random() < 0.7 else self._seeds[at]
        if body is self._seeds[at] or dice.random() < 0.2:
            for _ in range(dice.choice((1, 1, 2, 5))):
                body = self._bytes_changed(body)
        return body

    # -- fields ---------------------------------------------------------------------------------

    def _changed(self, fields: Sequence[Field]) -> bytes:
        """Go down some way and change something there; lengths around it stay right."""
        dice = self._dice
        inner = [at for at, one in enumerate(fields) if one.fields]
        if not fields or (inner and dice.random() < 0.8):
            if not inner:
                return self._some().encoded
            at = dice.choice(inner)
            parts = [one.encoded for one in fields]
            parts[at] = wire.field(fields[at].number, wire.BYTES, self._changed(fields[at].fields))
            return b"".join(parts)
        return dice.choice(self._changes)([one.encoded for one in fields], fields)

    def _some(self) -> Field:
        return self._dice.choice(self._pool)

    def _drop(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        del parts[self._dice.randrange(len(parts))]
        return b"".join(parts)

    def _double(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        parts.insert(self._dice.randrange(len(parts) + 1), self._dice.choice(parts))
        return b"".join(parts)

    def _repeat(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        at = self._dice.randrange(len(parts))
        if self._dice.random() < 0.3:  # an empty one costs the sender least
            parts[at] = wire.field(fields[at].number, wire.BYTES, b"")
        most = _MOST_BYTES // (len(parts[at]) + 1)
        parts[at] *= min(most, self._dice.choice((10, 100, 1000, 1000, 100_000)))
        return b"".join(parts)

    def _shuffle(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        self._dice.shuffle(parts)
        return b"".join(parts)

    def _renumber(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        at = self._dice.randrange(len(parts))
        number = self._dice.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 19_000, 2**29 - 1, 2**32))
        parts[at] = wire.field(number, fields[at].wire, fields[at].payload)
        return b"".join(parts)

    def _rewire(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        at = self._dice.randrange(len(parts))
        kind = self._dice.randrange(8)  # 3 and 4 are groups; 6 and 7 do not exist
        parts[at] = wire.field(fields[at].number, kind, fields[at].payload)
        return b"".join(parts)

    def _lie(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        at, payload = self._dice.randrange(len(parts)), b""
        payload = fields[at].payload
        claimed = self._dice.choice((0, len(payload) + 1, max(len(payload) - 1, 0), 2**31, 2**63))
        parts[at] = wire.field(fields[at].number, wire.BYTES, payload, claimed)
        return b"".join(parts)

    def _replace(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        at = self._dice.randrange(len(parts))
        one = fields[at]
        parts[at] = wire.field(one.number, one.wire, self._payload(one))
        return b"".join(parts)

    def _payload(self, one: Field) -> bytes:
        dice = self._dice
        if one.wire == wire.VARINT:
            return wire.varint(dice.choice(_INTEGERS))
        if one.wire == wire.FIXED64:
            integer = struct.pack("<Q", dice.choice(_INTEGERS))
            return dice.choice((integer, struct.pack("<d", dice.choice(_DOUBLES)), _STALE_MARKER))
        if one.wire == wire.FIXED32:
            return struct.pack("<I", dice.choice(_INTEGERS) % 2**32)
        texts = _TEXTS if dice.random() < 0.9 else [dice.randbytes(dice.randrange(1, 64))]
        return dice.choice(texts) if dice.random() < 0.7 else self._some().payload

    def _nest(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        """A field in itself, again and again: a message, an attribute's array, its map."""
        at = self._dice.randrange(len(parts))
        body = parts[at]
        numbers = self._dice.choice(((fields[at].number,), (5, 1), (6, 1, 2)))
        for _ in range(self._dice.choice((1, 8, 9, 40, 60, 500))):
            for number in reversed(numbers):
                body = wire.field(number, wire.BYTES, body)
        parts[at] = wire.field(fields[at].number, wire.BYTES, body)
        return b"".join(parts)

    def _insert(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        parts.insert(self._dice.randrange(len(parts) + 1), self._some().encoded)
        return b"".join(parts)

    def _pad(self, parts: list[bytes], fields: Sequence[Field]) -> bytes:
        """Numbers in more bytes than they need, or than there may be."""
        at = self._dice.randrange(len(parts))
        one, padding = fields[at], self._dice.choice((1, 3, 9, 12))
        size = wire.varint(len(one.payload), padding) if one.wire == wire.BYTES else b""
        parts[at] = wire.varint(one.number << 3 | one.wire, padding) + size + one.payload
        return b"".join(parts)

    # -- bytes ----------------------------------------------------------------------------------

    def _bytes_changed(self, body: bytes) -> bytes:
        dice, changed = self._dice, bytearray(body or b"\0")
        at = dice.randrange(len(changed))
        to = min(len(changed), at + dice.choice((1, 2, 4, 8, 64, 1024)))
        match dice.randrange(7):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at:to]
            case 3:
                changed[at:at] = changed[at:to]
            case 4:
                changed[at:at] = dice.randbytes(dice.choice((1, 4, 16)))
            case 5:
                del changed[at:]
            case 6:
                other = dice.choice(self._seeds)
                changed[at:] = other[dice.randrange(len(other)) :]
        return bytes(changed)
