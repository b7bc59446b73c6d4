"""What the name of a metric tells: its kind, its unit, the family that describes it.

Kind and unit are parts of a series' identity, so both must be known with the first sample and
never change. Metadata comes later, or not at all, or differs from target to target: only the name
is there from the start. Metadata gives descriptions alone.
"""

from __future__ import annotations

_COUNTERS = ("_total", "_count", "_sum", "_bucket")
_FAMILY_PARTS = (*_COUNTERS, "_created", "_info")
_NUMBERS_OF_EVENTS = ("_count", "_bucket")  # of a histogram of seconds they are no seconds
_UNITS = {
    "seconds": "s",
    "milliseconds": "ms",
    "bytes": "By",
    "ratio": "1",
    "percent": "%",
    "celsius": "Cel",
    "volts": "V",
    "amperes": "A",
    "watts": "W",
    "joules": "J",
    "grams": "g",
    "meters": "m",
    "hertz": "Hz",
}
_MAX_DESCRIPTION = 1024


def is_counter(name: str) -> bool:
    """Whether samples of this name are a cumulative monotonic sum; all others are gauges."""
    return name.endswith(_COUNTERS)


def unit_of(name: str) -> str:
    """By the ending that Prometheus' conventions ask for, in UCUM as OTLP writes it; or empty."""
    if name.endswith(_NUMBERS_OF_EVENTS):
        return ""
    base = name.removesuffix("_total").removesuffix("_sum")
    return _UNITS.get(base.rpartition("_")[2], "")


class Descriptions:
    """What metadata says of metric families: the newest text of each, of `capacity` families."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._texts: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, family: str, text: str) -> None:
        if not family or not text:
            return
        self._texts.pop(family, None)
        self._texts[family] = text[:_MAX_DESCRIPTION]
        if len(self._texts) > self._capacity:
            del self._texts[next(iter(self._texts))]  # what was heard of longest ago

    def of(self, name: str) -> str:
        """Of the family `name` itself, or of the one it is a part of; empty if nobody told."""
        found = self._texts.get(name)
        if found is None:
            part = next((part for part in _FAMILY_PARTS if name.endswith(part)), "")
            found = self._texts.get(name.removesuffix(part)) if part else None
        return found or ""
