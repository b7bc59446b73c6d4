"""The fields of a protobuf message where they lie: nothing is copied, and nothing is understood."""

from __future__ import annotations

from collections.abc import Iterator

_FIXED = {1: 8, 5: 4}  # bytes, by wire type


def fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The tag of each field, and where its content begins and stops; a number's includes all of
    its bytes.

    Raises:
        IndexError: the message is cut off.
        KeyError: a wire type that OTLP does not have.
    """
    while at < end:
        tag, begin = varint(body, at)
        wire = tag & 7
        if wire == 2:
            length, begin = varint(body, begin)
            at = begin + length
        elif wire == 0:
            _, at = varint(body, begin)
        else:
            at = begin + _FIXED[wire]
        if at > end:
            raise IndexError(at)
        yield tag, begin, at


def varint(body: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends.

    Raises:
        IndexError: it does not end.
    """
    number, shift = body[at], 7
    at += 1
    if number < 0x80:
        return number, at
    number &= 0x7F
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise IndexError(at)
