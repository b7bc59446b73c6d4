"""The fast path stores what the plain decoder stores, whatever the bytes look like."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.internal.encoder import TagBytes, _VarintBytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from batch_rows import rows_of
from novacron_collector.otlp.attributes import Attributes
from novacron_collector.otlp.catalog import Catalog
from novacron_collector.otlp.decoded import Decoded, merge
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.identity import Entity
from novacron_collector.otlp.limits import PointLimits, Reason, Window
from novacron_collector.otlp.overflow import Overflow
from novacron_collector.otlp.plain import PlainDecoder
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.raw import RawDecoder
from novacron_store.telemetry.batch import POINT_TABLES
from otlp_messages import NOW_NS, NOW_S, attributes, requests, scrambled

_WEEK = 7 * 86400
_LIMITS = PointLimits(max_depth=2)
_NOW = int(NOW_S * 1000)
_WINDOW = Window(_NOW - _WEEK * 1000, _NOW + 600_000)
_SETTINGS = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def rows(decoded: Decoded, *, only: frozenset[str] | None = None) -> dict[str, list[str]]:
    tables = rows_of(decoded.batch).items()
    return {
        name: sorted(map(repr, found)) for name, found in tables if only is None or name in only
    }


def plain(bodies: list[bytes], limits: PointLimits = _LIMITS, series: int = 1000) -> Decoded:
    overflow = Overflow()
    decoder = PlainDecoder(limits, Catalog(1000), SeriesQuota(limits, series), overflow)
    return merge_overflow(decoder.decode(bodies, _WINDOW, _NOW), overflow)


def raw(bodies: list[bytes], limits: PointLimits = _LIMITS, series: int = 1000) -> Decoded:
    quota, overflow = SeriesQuota(limits, series), Overflow()
    decoder = RawDecoder(limits, Catalog(1000), quota, overflow, capacity=1000)
    return merge_overflow(decoder.decode(bodies, _WINDOW, _NOW), overflow)


def merge_overflow(decoded: Decoded, overflow: Overflow) -> Decoded:
    turned_away = overflow.take(Catalog(1000), _NOW)
    return decoded if turned_away is None else merge([decoded, turned_away])


def no_extra(_message: Any) -> bytes:
    return b""


def two_of_a_oneof(message: Any) -> bytes:
    """Only the last of two alternatives counts, which the fast path cannot know."""
    if isinstance(message, otlp.NumberDataPoint):
        return bytes(otlp.NumberDataPoint(as_int=7).SerializeToString())
    if isinstance(message, otlp.Metric):
        gauge = otlp.Gauge(data_points=[otlp.NumberDataPoint(as_int=3, time_unix_nano=NOW_NS)])
        return bytes(otlp.Metric(gauge=gauge).SerializeToString())
    return b""


@given(requests(), st.integers(0, 2**32))
@_SETTINGS
def test_both_paths_store_the_same_rows(request: Any, seed: int) -> None:
    body = scrambled(request, random.Random(seed), no_extra)
    assert otlp.MetricsData.FromString(body) is not None

    fast, slow = raw([body]), plain([body])

    assert rows(fast) == rows(slow)
    assert fast.outcomes == slow.outcomes
    assert sorted(map(repr, fast.sightings)) == sorted(map(repr, slow.sightings))


@given(
    st.lists(requests(), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 6),
)
@_SETTINGS
def test_both_paths_turn_away_the_same_series(
    many: list[Any], of_entity: int, of_metric: int, in_all: int
) -> None:
    limits = PointLimits(max_series_per_entity=of_entity, max_series_per_metric=of_metric)
    bodies = [request.SerializeToString() for request in many]

    fast, slow = raw(bodies, limits, in_all), plain(bodies, limits, in_all)

    assert rows(fast) == rows(slow)
    assert fast.outcomes == slow.outcomes
    assert sorted(map(repr, fast.sightings)) == sorted(map(repr, slow.sightings))


def test_a_series_is_told_one_reason_though_another_limit_is_met_before_its_next_point() -> None:
    a, b, c = ([_pair("of", name)] for name in "abc")
    cpu, other = _gauge(a, b), _gauge(c, name="memory")
    bodies = [cpu + other + _gauge(b)]
    limits = PointLimits(max_series_per_entity=2, max_series_per_metric=1)

    fast, slow = raw(bodies, limits), plain(bodies, limits)

    assert slow.outcomes[0].rejected == {Reason.METRIC_FULL: 2}
    assert rows(fast) == rows(slow)
    assert fast.outcomes == slow.outcomes


@given(requests(), st.integers(0, 2**32))
@_SETTINGS
def test_of_two_alternatives_the_last_one_counts(request: Any, seed: int) -> None:
    body = scrambled(request, random.Random(seed), two_of_a_oneof)

    either = Decoder(_LIMITS, _WEEK, 1000).decode([body], NOW_S)

    assert rows(either) == rows(plain([body]))
    assert either.outcomes == plain([body]).outcomes


@given(st.lists(requests(), min_size=2, max_size=4))
@_SETTINGS
def test_requests_decoded_together_store_what_each_stores_alone(many: list[Any]) -> None:
    bodies = [request.SerializeToString() for request in many]
    decoder = Decoder(_LIMITS, _WEEK, 1000)

    together = Decoder(_LIMITS, _WEEK, 1000).decode(bodies, NOW_S)
    alone = [decoder.decode([body], NOW_S) for body in bodies]

    points = POINT_TABLES | {"series", "metrics", "exemplars"}
    expected: dict[str, list[str]] = {}
    for part in alone:
        for name, some in rows(part, only=points).items():
            expected[name] = sorted(expected.get(name, []) + some)
    assert rows(together, only=points) == expected
    assert together.outcomes == [outcome for part in alone for outcome in part.outcomes]
    assert newest_of([together]) == newest_of(alone)


def newest_of(parts: list[Decoded]) -> dict[tuple[Entity, Attributes], tuple[int, int]]:
    """Each entity's newest point, and minus the place of the first request that has it."""
    newest: dict[tuple[Entity, Attributes], tuple[int, int]] = {}
    for before, part in enumerate(parts):
        for seen in part.sightings:
            key, found = (seen.entity, seen.resource), (seen.newest, -before - seen.request)
            newest[key] = max(newest.get(key, found), found)
    return newest


@given(st.lists(requests(), min_size=1, max_size=3), st.integers(0, 2))
@_SETTINGS
def test_a_body_that_is_not_otlp_fails_alone(many: list[Any], at: int) -> None:
    good = [request.SerializeToString() for request in many]
    bodies = [*good[:at], b"\x0a\x05ab", *good[at:]]

    decoded = Decoder(_LIMITS, _WEEK, 1000).decode(bodies, NOW_S)

    errors = [bool(outcome.error) for outcome in decoded.outcomes]
    assert errors == [n == min(at, len(good)) for n in range(len(bodies))]
    assert rows(decoded, only=POINT_TABLES) == rows(plain(good), only=POINT_TABLES)


def _gauge(*points: list[KeyValue], name: str = "cpu") -> bytes:
    data = [
        otlp.NumberDataPoint(as_double=1, time_unix_nano=NOW_NS, attributes=point)
        for point in points
    ]
    metric = otlp.Metric(name=name, gauge=otlp.Gauge(data_points=data))
    scoped = otlp.ScopeMetrics(metrics=[metric])
    group = otlp.ResourceMetrics(scope_metrics=[scoped])
    return bytes(otlp.MetricsData(resource_metrics=[group]).SerializeToString())


def _pair(key: str, text: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=text))


def test_two_attributes_are_not_one_whose_bytes_are_both_joined() -> None:
    first, second = (_pair(key, "x").SerializeToString() for key in "ab")
    body = _wire([first, second], [first + second])

    fast = raw([body])

    assert rows(fast) == rows(plain([body]))
    labels = fast.batch.tables["series"]["attributes"].to_pylist()
    assert sorted(map(sorted, labels)) == [[("a", "x"), ("b", "x")], [("b", "x")]]


@given(attributes(max_size=4), st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3)))
@_SETTINGS
def test_the_same_bytes_cut_otherwise_are_other_attributes(
    pairs: list[KeyValue], one: set[int], other: set[int]
) -> None:
    def cut(before: set[int]) -> list[bytes]:
        bodies: list[bytes] = []
        for number, pair in enumerate(pairs):
            if number in before or not bodies:
                bodies.append(b"")
            bodies[-1] += pair.SerializeToString()
        return bodies

    body = _wire(cut(one), cut(other))

    assert rows(raw([body])) == rows(plain([body]))


def _wire(*points: list[bytes]) -> bytes:
    """A request whose points have exactly these bytes as their attributes."""
    bodies = []
    for pairs in points:
        point = otlp.NumberDataPoint(as_double=1, time_unix_nano=NOW_NS).SerializeToString()
        bodies.append(point + b"".join(_field(7, pair) for pair in pairs))
    gauge = b"".join(_field(1, body) for body in bodies)
    metric = _field(1, b"cpu") + _field(5, gauge)
    return _field(1, _field(2, _field(2, metric)))


def _field(number: int, body: bytes) -> bytes:
    return bytes(TagBytes(number, 2)) + bytes(_VarintBytes(len(body))) + body


def test_the_order_of_attributes_makes_no_other_series() -> None:
    a, b = _pair("a", "x"), _pair("b", "y")

    series = raw([_gauge([a, b], [b, a])]).batch.tables["samples"]["series"].to_pylist()

    assert len(series) == 2
    assert len(set(series)) == 1


def test_what_was_described_once_is_not_described_again_until_the_write_failed() -> None:
    decoder = Decoder(_LIMITS, _WEEK, 1000)
    body = _gauge([_pair("a", "x")])

    first = decoder.decode([body], NOW_S).batch.tables
    second = decoder.decode([body], NOW_S).batch.tables
    decoder.forget()
    third = decoder.decode([body], NOW_S).batch.tables

    assert set(second) == {"arrivals"}
    assert first == third
    assert set(first) == {"samples", "series", "metrics", "entities"}


def test_memory_for_known_series_is_bounded() -> None:
    decoder = Decoder(_LIMITS, _WEEK, series=10)
    for n in range(0, 1000, 50):
        points = [[_pair("a", str(k))] for k in range(n, n + 50)]
        decoded = decoder.decode([_gauge(*points)], NOW_S)
        again = decoder.decode([_gauge(*points)], NOW_S)
        assert again.outcomes == decoded.outcomes
        assert decoded.outcomes[0].points == (10 if n == 0 else 0)
