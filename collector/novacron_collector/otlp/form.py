"""A ResourceMetrics as a form: what a sender writes anew each time, times and values, is blank.

Blanks have a fixed width in protobuf, so that a sender who reports the same series again sends the
same bytes but for them. Read is only what has one meaning: a point that says something twice, has
flags or exemplars, or is of a histogram, makes no form.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from novacron_collector.otlp.fields import fields

_SCOPE_METRICS = 0x12  # of a ResourceMetrics
_METRIC = 0x12  # of a ScopeMetrics
_GAUGE, _SUM = 0x2A, 0x3A  # of a Metric, as all that follow
_OTHER_KINDS = frozenset({0x4A, 0x52, 0x5A})
_DATA_POINT = 0x0A  # of a Gauge or a Sum
_START, _TIME, DOUBLE, INTEGER, _ATTRIBUTE = 0x11, 0x19, 0x21, 0x31, 0x3A  # of a point


class UnusualError(Exception):
    """Nothing is known to be wrong; it is not to be read as a form."""


@dataclass(frozen=True, slots=True)
class Blanks:
    """For each point in order where its blanks are in the bytes; `starts` has the place of the time
    where a point has no start. The byte before a value says whether it is a double or an integer.
    """

    starts: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    started: list[bool] = field(default_factory=list)
    is_sum: list[bool] = field(default_factory=list)


def blanks_of(group: bytes) -> Blanks:
    """
    Raises:
        UnusualError: `group`, a ResourceMetrics, is to be read in another way.
    """
    blanks = Blanks()
    for tag, start, end in fields(group, 0, len(group)):
        if tag == _SCOPE_METRICS:
            for inner, first, last in fields(group, start, end):
                if inner == _METRIC:
                    _read_metric(group, first, last, blanks)
    return blanks


def _read_metric(data: bytes, at: int, end: int, blanks: Blanks) -> None:
    kinds = 0
    for tag, start, last in fields(data, at, end):
        if tag in (_GAUGE, _SUM):
            kinds += 1
            for inner, first, after in fields(data, start, last):
                if inner == _DATA_POINT:
                    _read_point(data, first, after, blanks)
                    blanks.is_sum.append(tag == _SUM)
        elif tag in _OTHER_KINDS:
            raise UnusualError
    if kinds > 1:
        raise UnusualError


def _read_point(data: bytes, at: int, end: int, blanks: Blanks) -> None:
    places: dict[int, int] = {}
    for tag, start, _ in fields(data, at, end):
        if tag == _ATTRIBUTE:
            continue
        kind = DOUBLE if tag == INTEGER else tag
        if kind in places or kind not in (_START, _TIME, DOUBLE):
            raise UnusualError
        places[kind] = start
    if _TIME not in places or DOUBLE not in places:
        raise UnusualError
    blanks.times.append(places[_TIME])
    blanks.values.append(places[DOUBLE])
    blanks.starts.append(places.get(_START, places[_TIME]))
    blanks.started.append(_START in places)
