"""How many messages a body holds, before memory is spent on them.

An empty message is two bytes on the wire, and up to two hundred once it is read: what is read at
one time must be bounded by their number, too, and not by bytes alone.
"""

from __future__ import annotations

from novacron_collector.otlp.fields import fields
from novacron_contract.errors import BadMessage

# Of each message, the tags of the fields that are counted: what they are, if they are entered.
_BYTES = 2  # the wire type of all of them
_DATA = dict.fromkeys((5, 7, 9, 10, 11), "data")  # gauge, sum, histogram, exponential, summary
_NUMBERS: dict[str, dict[int, str]] = {
    "request": {1: "group"},
    "group": {1: "resource", 2: "scoped"},
    "resource": {1: ""},  # its attributes
    "scoped": {1: "scope", 2: "metric"},
    "scope": {3: ""},  # its attributes
    "metric": _DATA,
    "data": {1: ""},  # points
}
_COUNTED = {
    name: {number << 3 | _BYTES: inner for number, inner in counted.items()}
    for name, counted in _NUMBERS.items()
}


def has_more_parts(body: bytes, most: int) -> bool:
    """Whether an OTLP request has more resources, scopes, their attributes, metrics and points.

    Raises:
        BadMessage: it is not OTLP; not everything that is not raises it.
    """
    waiting, count = [(0, len(body), "request")], 0
    try:
        while waiting:
            at, end, name = waiting.pop()
            counted = _COUNTED[name]
            for tag, begin, stop in fields(body, at, end):
                inner = counted.get(tag)
                if inner is None:
                    continue
                count += 1
                if count > most:
                    return True
                if inner and begin < stop:
                    waiting.append((begin, stop, inner))
    except (IndexError, KeyError) as err:
        raise BadMessage("not an OTLP metrics request: its fields are cut off") from err
    return False
