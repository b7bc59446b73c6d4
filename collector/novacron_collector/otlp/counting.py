"""How many messages a body holds, before memory is spent on them.

An empty message is two bytes on the wire, and up to two hundred once it is read: what is read at
one time must be bounded by their number, too, and not by bytes alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from novacron_contract.errors import BadMessage

# Of each message, the numbers of the fields that are counted: what they are, if they are entered.
_DATA = dict.fromkeys((5, 7, 9, 10, 11), "data")  # gauge, sum, histogram, exponential, summary
_COUNTED: dict[str, dict[int, str]] = {
    "request": {1: "group"},
    "group": {1: "resource", 2: "scoped"},
    "resource": {1: ""},  # its attributes
    "scoped": {1: "scope", 2: "metric"},
    "scope": {3: ""},  # its attributes
    "metric": _DATA,
    "data": {1: ""},  # points
}
_FIXED = {1: 8, 5: 4}  # bytes, by wire type


def has_more_parts(body: bytes, most: int) -> bool:
    """Whether an OTLP request has more resources, scopes, their attributes, metrics and points.

    Raises:
        BadMessage: it is not OTLP; not everything that is not raises it.
    """
    waiting, count = [(0, len(body), "request")], 0
    try:
        while waiting:
            at, end, name = waiting.pop()
            for begin, stop, inner in _messages(body, at, end, _COUNTED[name]):
                count += 1
                if count > most:
                    return True
                if inner and begin < stop:
                    waiting.append((begin, stop, inner))
    except (IndexError, KeyError) as err:
        raise BadMessage("not an OTLP metrics request: its fields are cut off") from err
    return False


def _messages(
    body: bytes, at: int, end: int, counted: dict[int, str]
) -> Iterator[tuple[int, int, str]]:
    """Where those fields of one message that are counted begin and end."""
    while at < end:
        tag, at = _varint(body, at)
        wire = tag & 7
        if wire == 2:
            length, at = _varint(body, at)
            if at + length > end:
                raise IndexError(at)
            inner = counted.get(tag >> 3)
            if inner is not None:
                yield at, at + length, inner
            at += length
        elif wire == 0:
            _, at = _varint(body, at)
        else:
            at += _FIXED[wire]


def _varint(body: bytes, at: int) -> tuple[int, int]:
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
