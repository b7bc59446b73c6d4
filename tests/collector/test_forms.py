"""What was read before but for times and values is stored as if it had been read whole."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from batch_rows import rows_of
from novacron_collector.otlp.catalog import Catalog
from novacron_collector.otlp.decoded import Decoded, OddMessageError
from novacron_collector.otlp.forms import Forms, Placed
from novacron_collector.otlp.limits import PointLimits, Reason, Window
from novacron_collector.otlp.overflow import Overflow
from novacron_collector.otlp.plain import PlainDecoder
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.raw import RawDecoder
from novacron_contract.errors import BadMessage
from otlp_messages import NOW_NS, NOW_S, requests, scrambled

_LIMITS = PointLimits(max_depth=2, series_idle=3600)
_NOW = int(NOW_S * 1000)
_WINDOW = Window(_NOW - 7 * 86_400_000, _NOW + 600_000)
_SECOND = 10**9
_SETTINGS = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
_VALUES: list[dict[str, Any]] = [
    {"as_double": 2.5},
    {"as_double": float("nan")},
    {"as_double": float("inf")},
    {"as_double": -0.0},
    {"as_int": 0},
    {"as_int": -(2**63)},
    {"as_int": 2**53 + 1},
]


class Both:
    """A fast and a plain decoder that are told the same."""

    def __init__(self, series: int = 1000) -> None:
        shared = [(_LIMITS, Catalog(1000), SeriesQuota(_LIMITS, series), Overflow()) for _ in "12"]
        self.fast = RawDecoder(*shared[0], capacity=1000)
        self.plain = PlainDecoder(*shared[1])

    def decode(self, bodies: Sequence[bytes], now: int = _NOW) -> list[Any]:
        return [
            _result(decoder, bodies, now)  # type: ignore[arg-type]
            for decoder in (self.fast, self.plain)
        ]


def _result(decoder: RawDecoder, bodies: Sequence[bytes], now: int) -> Any:
    try:
        decoded = decoder.decode(bodies, _WINDOW, now)
    except (BadMessage, DecodeError):
        return "not OTLP"
    except OddMessageError:
        return "odd"
    return (_rows(decoded), decoded.outcomes, sorted(map(repr, decoded.sightings)))


def _rows(decoded: Decoded) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in rows_of(decoded.batch).items()}


def _filled_in_anew(request: Any, dice: random.Random) -> Any:
    """The same with other times and values, as a sender has it some seconds later."""
    again = otlp.MetricsData()
    again.CopyFrom(request)
    for point in _number_points(again):
        point.time_unix_nano = dice.choice([NOW_NS, NOW_NS - _SECOND, 1, NOW_NS + 700 * _SECOND])
        if point.start_time_unix_nano:
            point.start_time_unix_nano = dice.choice([1, NOW_NS - _SECOND, NOW_NS + _SECOND])
        if point.WhichOneof("value"):
            point.MergeFrom(otlp.NumberDataPoint(**dice.choice(_VALUES)))
    return again


def _number_points(request: Any) -> list[Any]:
    return [
        point
        for group in request.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
        for kind in (metric.gauge, metric.sum)
        for point in kind.data_points
    ]


def _storable(request: Any, dice: random.Random) -> Any:
    """Without what keeps a ResourceMetrics from being known again."""
    for group in request.resource_metrics:
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                metric.name = metric.name[:5] or "cpu"
                metric.unit = metric.unit[:5]
                if metric.WhichOneof("data") not in ("gauge", "sum"):
                    metric.gauge.data_points.add(start_time_unix_nano=dice.choice([0, 1]))
    for point in _number_points(request):
        point.time_unix_nano = NOW_NS
        point.ClearField("flags")
        point.ClearField("exemplars")
        point.MergeFrom(otlp.NumberDataPoint(**dice.choice(_VALUES[:1] + _VALUES[4:5])))
    return request


@given(st.lists(requests(), min_size=1, max_size=3), st.integers(0, 2**32))
@_SETTINGS
def test_what_comes_again_is_stored_as_the_plain_decoder_stores_it(
    many: list[Any], seed: int
) -> None:
    dice, both = random.Random(seed), Both()
    many = [_storable(request, dice) for request in many]
    first, expected = both.decode([request.SerializeToString() for request in many])
    assert first == expected

    for _ in range(3):
        dice.shuffle(many)
        again = [_filled_in_anew(request, dice).SerializeToString() for request in many]
        fast, plain = both.decode(again)
        assert fast == plain


@given(requests(), st.integers(0, 2**32))
@_SETTINGS
def test_however_it_is_encoded(request: Any, seed: int) -> None:
    both = Both()
    for body in (
        scrambled(_storable(request, random.Random(seed)), random.Random(seed), _nothing),
        scrambled(_filled_in_anew(request, random.Random(seed)), random.Random(seed), _nothing),
    ):
        fast, plain = both.decode([body])
        assert fast in (plain, "odd")


def _nothing(_message: Any) -> bytes:
    return b""


@given(st.integers(0, 2**32), st.integers(1, 3))
@example(seed=7338, flips=3)  # a tag of more than 32 bits
@_SETTINGS
def test_a_body_that_differs_in_any_byte_is_what_it_says(seed: int, flips: int) -> None:
    dice, both = random.Random(seed), Both()
    body = _scrape(vms=2, at=0)
    both.decode([body])
    damaged = bytearray(_scrape(vms=2, at=1))
    for _ in range(flips):
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)

    fast, plain = both.decode([bytes(damaged)])

    assert fast in (plain, "odd")


def _scrape(vms: int, at: int, **labels: str) -> bytes:
    data = otlp.MetricsData()
    for vm in range(vms):
        group = data.resource_metrics.add()
        group.resource.attributes.append(_pair("vm.id", f"vm-{vm}"))
        scoped = group.scope_metrics.add()
        time = NOW_NS + at * _SECOND
        usage = scoped.metrics.add(name="cpu", unit="1").gauge.data_points
        usage.add(time_unix_nano=time, as_double=at / 7)
        total = scoped.metrics.add(name="io", unit="By").sum
        total.aggregation_temporality, total.is_monotonic = 2, True
        for disk in ("vda", "vdb"):
            point = total.data_points.add(
                time_unix_nano=time, start_time_unix_nano=NOW_NS - _SECOND, as_int=at + 10
            )
            point.attributes.append(_pair("disk", disk))
            point.attributes.extend(_pair(*label) for label in labels.items())
    return bytes(data.SerializeToString())


def _pair(key: str, text: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=text))


@pytest.fixture
def forms() -> Forms:
    """Forms that know the first scrape."""
    known = Forms()
    _learn(known, _scrape(vms=3, at=0))
    return known


def _learn(forms: Forms, body: bytes) -> None:
    reading = forms.read([body])
    source: Any = None
    for piece in reading.unknown[0] or ():
        placed = Placed(source, np.arange(3, dtype=np.uint64), ["cpu", "io", "io"])
        forms.learn(reading.data, piece, partial(Placed, *placed))


def test_of_a_later_scrape_only_the_blanks_are_read(forms: Forms) -> None:
    reading = forms.read([_scrape(vms=3, at=5), _scrape(vms=1, at=6)])

    assert reading.rest == [b"", b""]
    (filled,) = reading.filled
    assert filled.requests.tolist() == [0, 0, 0, 1]
    assert filled.value.tolist() == [*3 * [5 / 7, 15, 15], 6 / 7, 16, 16]
    assert set(filled.ts.tolist()) == {_NOW + 5000, _NOW + 6000}
    assert filled.start.tolist() == 4 * [0, _NOW - 1000, _NOW - 1000]


def test_a_request_that_was_filled_in_is_one_form_from_then_on(forms: Forms) -> None:
    forms.read([_scrape(vms=3, at=1)])  # piece by piece

    reading = forms.read([_scrape(vms=3, at=5), _scrape(vms=1, at=6)])

    assert reading.rest == [b"", b""]
    whole, pieces = reading.filled
    assert whole.requests.tolist() == [0, 0, 0]
    assert whole.source.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert whole.value.tolist() == 3 * [5 / 7, 15, 15]
    assert pieces.requests.tolist() == [1]


def test_what_is_new_in_a_request_that_was_one_form_is_left_and_nothing_else(forms: Forms) -> None:
    forms.read([_scrape(vms=3, at=1)])
    other = bytearray(_scrape(vms=3, at=2))
    other[other.rindex(b"vda")] = ord("s")

    reading = forms.read([bytes(other)])

    assert reading.rest == [bytes(other[len(_scrape(vms=2, at=2)) :])]
    assert [filled.requests.tolist() for filled in reading.filled] == [[0, 0]]


def test_what_is_new_in_a_scrape_is_left_and_nothing_else(forms: Forms) -> None:
    known, new = _scrape(vms=2, at=1), _scrape(vms=1, at=1, mount="/")

    reading = forms.read([known + new, new + known])

    assert reading.rest == [new, new]


def test_a_resource_that_says_something_else_each_time_is_not_learnt_for_ever() -> None:
    forms = Forms()
    for n in range(100):
        _learn(forms, _scrape(vms=1, at=n, random="x" * n))

    known = [n for n in range(100) if forms.read([_scrape(1, n, random="x" * n)]).rest == [b""]]

    assert len(known) < 10


def test_memory_for_forms_is_bounded() -> None:
    forms = Forms(most_bytes=20_000)
    body = _scrape(vms=200, at=0)
    _learn(forms, body)

    rest = forms.read([body]).rest[0]

    assert 0 < len(rest) < len(body)


def test_points_that_cannot_be_stored_are_told_to_their_request() -> None:
    both = Both()
    both.decode([_scrape(vms=1, at=0)])

    fast, plain = both.decode([_scrape(vms=1, at=1), _scrape(vms=1, at=3600)])

    assert fast == plain
    assert [outcome.points for outcome in fast[1]] == [3, 0]
    assert fast[1][1].rejected == {Reason.TOO_NEW: 3}


def test_who_reports_keeps_its_place_window_after_window() -> None:
    """A form must not make the series in it look idle."""
    both = Both(series=6)
    for hour in range(4):
        fast, plain = both.decode([_scrape(vms=2, at=0)], _NOW + hour * 3_700_000)
        assert fast == plain

    fast, plain = both.decode([_scrape(vms=3, at=0)], _NOW + 4 * 3_700_000)

    assert fast == plain
    assert fast[1][0].rejected == {Reason.STORE_FULL: 3}
