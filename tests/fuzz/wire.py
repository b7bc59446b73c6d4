"""Protobuf as it is on the wire: fields that can be taken apart and put together otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """`payload` is without tag and length; `fields` are those of a message, `kind` is its name."""

    number: int
    wire: int
    payload: bytes
    encoded: bytes
    fields: tuple[Field, ...] = ()
    kind: str = ""


def field(number: int, wire: int, payload: bytes, length: int | None = None) -> bytes:
    """A field; `length` is the one to be claimed, where it is not the true one."""
    size = varint(len(payload) if length is None else length) if wire == BYTES else b""
    return varint(number << 3 | wire) + size + payload


def varint(number: int, padding: int = 0) -> bytes:
    """`padding`: that many bytes more than it needs."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    if padding:
        parts[-1] |= 0x80
        parts += b"\x80" * (padding - 1) + b"\0"
    return bytes(parts)


def parse(body: bytes, descriptor: Any) -> tuple[Field, ...]:
    """The fields of a valid message; `descriptor` says which of them are messages."""
    fields, at = [], 0
    while at < len(body):
        start = at
        tag, at = _read_varint(body, at)
        number, wire = tag >> 3, tag & 7
        begin, end = _extent(body, at, wire)
        payload, at = body[begin:end], end
        inner = descriptor.fields_by_number.get(number)
        message = inner.message_type if inner is not None and wire == BYTES else None
        nested = parse(payload, message) if message is not None else ()
        kind = message.name if message is not None else ""
        fields.append(Field(number, wire, payload, body[start:at], nested, kind))
    return tuple(fields)


def every(fields: Iterable[Field]) -> Iterable[Field]:
    """All fields, of messages within messages too."""
    for one in fields:
        yield one
        yield from every(one.fields)


def _extent(body: bytes, at: int, wire: int) -> tuple[int, int]:
    """Where the payload begins and ends."""
    if wire == BYTES:
        length, at = _read_varint(body, at)
        return at, at + length
    if wire == VARINT:
        return at, _read_varint(body, at)[1]
    return at, at + {FIXED64: 8, FIXED32: 4}[wire]


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
