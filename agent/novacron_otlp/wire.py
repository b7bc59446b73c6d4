"""Protobuf's wire format, as far as metrics over HTTP need it.

The library takes 2.6 MB of memory; an agent needs it for gRPC, and to halve what is too large.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from novacron_contract.errors import BadMessage

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # what follows a tag
_WIDTHS = {_EIGHT: 8, _FOUR: 4}
_LONGEST_VARINT = 10
_KEY, _VALUE = 1, 2  # of KeyValue
_STRING, _INT, _DOUBLE = 1, 3, 4  # of AnyValue


def field(number: int, content: bytes) -> bytes:
    """A message, or bytes, as a field below 16."""
    return head(number, len(content)) + content


def head(number: int, length: int) -> bytes:
    """The tag of a field below 16 and the length of what follows."""
    return bytes((number << 3 | _BYTES,)) + _varint(length)


def text(number: int, content: str) -> bytes:
    """A field of text; nothing where it is empty, which is the same."""
    return field(number, content.encode()) if content else b""


def whole(number: int, value: int) -> bytes:
    """A field of 64 bits with a sign, or an enumeration's, or a truth value's.

    Raises:
        OverflowError: it has more bits.
    """
    if not -(2**63) <= value < 2**63:
        raise OverflowError(f"{value} has more than 64 bits")
    return bytes((number << 3 | _VARINT,)) + _varint(value & (2**64 - 1))


def key_values(number: int, attributes: Mapping[str, str | int | float]) -> bytes:
    """A field of OTLP's attributes, once for each. Names that the kernel hands out may be any
    bytes; protobuf takes UTF-8 only."""
    return b"".join(
        field(number, text(_KEY, name) + field(_VALUE, _any(value)))
        for name, value in attributes.items()
    )


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and contents: whole numbers (without a sign), or bytes.

    Raises:
        BadMessage: it is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise BadMessage("not protobuf")
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            width, at = _read_varint(message, at)
        elif kind in _WIDTHS:
            width = _WIDTHS[kind]
        else:
            raise BadMessage("not protobuf")
        if at + width > len(message):
            raise BadMessage("not protobuf")
        yield number, message[at : at + width]
        at += width


def signed(value: int) -> int:
    """Of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _any(value: str | int | float) -> bytes:
    if isinstance(value, str):
        return field(_STRING, value.encode("utf-8", "replace"))
    if isinstance(value, int):
        return whole(_INT, value)
    return bytes((_DOUBLE << 3 | _EIGHT,)) + struct.pack("<d", value)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """And where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value & (2**64 - 1), at + place + 1
    raise BadMessage("not protobuf")
