"""How many series may be stored, what becomes of those beyond, and when a place becomes free."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from batch_rows import rows_of
from noon import NOON
from novacron_collector.otlp.decoded import Decoded
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.identity import Entity
from novacron_collector.otlp.limits import PointLimits, Reason
from novacron_collector.otlp.overflow import METRIC
from novacron_collector.otlp.quota import SeriesQuota

NOW_S = NOON - 41_600
_HOUR = 3600
_VM = Entity("vm-1", "vm", b"vm-1")


def decoder(series: int = 1000, **limits: Any) -> Decoder:
    return Decoder(PointLimits(**limits), 7 * 86400, series)


def body(vm: str, metric: str, labels: range, now_s: int = NOW_S) -> bytes:
    """One gauge with a point for each label."""
    data = otlp.MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.append(_pair("vm.id", vm))
    gauge = group.scope_metrics.add().metrics.add(name=metric).gauge
    for label in labels:
        point = gauge.data_points.add(time_unix_nano=now_s * 10**9, as_int=label)
        point.attributes.append(_pair("n", str(label)))
    return bytes(data.SerializeToString())


def _pair(key: str, text: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=text))


def values(decoded: Decoded, metric: str) -> list[float]:
    samples = rows_of(decoded.batch).get("samples", [])
    return sorted(row["value"] for row in samples if row["metric"] == metric)


def overflow(decoded: Decoded) -> dict[tuple[str, str], float]:
    """Points turned away by entity and limit."""
    series = decoded.batch.tables["series"].to_pylist()
    labels = {row["series"]: dict(row["attributes"]) for row in series}
    return {
        (row["entity"], labels[row["series"]]["novacron.limit"]): row["value"]
        for row in rows_of(decoded.batch)["samples"]
        if row["metric"] == METRIC
    }


def test_beyond_the_limit_of_its_entity_a_new_series_is_turned_away_and_known_ones_stay() -> None:
    some = decoder(max_series_per_entity=3)

    first = some.decode([body("a", "m", range(5)), body("b", "m", range(2))], NOW_S)
    second = some.decode([body("a", "m", range(9, -1, -1))], NOW_S + 1)

    assert values(first, "m") == [0, 0, 1, 1, 2]
    assert [outcome.points for outcome in first.outcomes] == [3, 2]
    assert first.outcomes[0].rejected == {Reason.ENTITY_FULL: 2}
    assert "limits.points.max_series_per_entity" in first.outcomes[0].message
    assert values(second, "m") == [0, 1, 2], "what has a place keeps it, wherever it is sent"
    assert second.outcomes[0].rejected == {Reason.ENTITY_FULL: 7}
    assert overflow(first) == {("a", "limits.points.max_series_per_entity"): 2}
    assert values(second, METRIC) == [7]


def test_the_overflow_series_says_what_it_is() -> None:
    some = decoder(max_series_per_metric=1)

    decoded = some.decode([body("a", "m", range(4)), body("b", "other", range(1))], NOW_S)

    (row,) = (r for r in decoded.batch.tables["series"].to_pylist() if r["metric"] == METRIC)
    assert dict(row["attributes"]) == {
        "novacron.limit": "limits.points.max_series_per_metric",
        "novacron.metric": "m",
        "otel.metric.overflow": "true",
    }
    assert dict(row["attribute_types"]) == {"otel.metric.overflow": "bool"}
    assert (row["unit"], row["temporality"], row["entity"]) == (
        "{point}",
        "delta",
        "novacron-collector",
    )


def test_whoever_is_said_to_send_it_a_metric_and_the_store_have_their_limits() -> None:
    some = decoder(series=5, max_series_per_metric=3)
    many = [body(f"vm-{n}", "m", range(1)) for n in range(10)]

    of_metric = some.decode(many, NOW_S)
    in_all = some.decode([body("vm-x", f"m{n}", range(1)) for n in range(10)], NOW_S)

    assert sum(outcome.points for outcome in of_metric.outcomes) == 3
    assert sum(outcome.points for outcome in in_all.outcomes) == 2
    assert in_all.outcomes[-1].rejected == {Reason.STORE_FULL: 1}
    assert len(overflow(of_metric)) == 1, "one series, however many entities are invented"
    assert overflow(in_all) == {("novacron-collector", "limits.series"): 8}


def test_two_writes_in_one_millisecond_are_two_samples_of_the_overflow() -> None:
    some = decoder(max_series_per_entity=1)

    both = [some.decode([body("a", "m", range(3))], NOW_S) for _ in range(2)]

    times = {
        row["ts"]
        for decoded in both
        for row in rows_of(decoded.batch)["samples"]
        if row["metric"] == METRIC
    }
    assert len(times) == 2


def test_forgetting_what_was_described_frees_no_place_and_takes_none() -> None:
    some = decoder(max_series_per_entity=2)
    some.decode([body("a", "m", range(2))], NOW_S)

    some.forget()
    again = some.decode([body("a", "m", range(3))], NOW_S)

    assert values(again, "m") == [0, 1]


def test_a_series_that_stopped_frees_its_place_and_one_that_goes_on_keeps_it() -> None:
    some = decoder(max_series_per_entity=2, series_idle=_HOUR)
    stored = []
    for minute in range(0, 180, 10):
        now = NOW_S + minute * 60
        labels = range(0, 2) if minute == 0 else range(1, 3)  # 0 stops, 1 goes on, 2 wants a place
        stored.append(values(some.decode([body("a", "m", labels, now)], now), "m"))

    assert stored[0] == [0, 1]
    assert all(1 in some_values for some_values in stored)
    assert stored[1] == [1]
    assert stored[-1] == [1, 2]
    assert stored.index([1, 2]) <= 12, "after twice the time at most"


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.sampled_from("mn"))))
def test_places_are_as_many_as_the_limits_say(wanted: list[tuple[int, str, str]]) -> None:
    limits = PointLimits(max_series_per_entity=6, max_series_per_metric=7)
    quota = SeriesQuota(limits, total=10)
    model: set[tuple[int, str, str]] = set()
    quota.advance(1)
    for number, entity, metric in wanted:
        series = hash((number, entity, metric)) % 2**64
        key = (series, entity, metric)
        fits = (
            sum(e == entity for _, e, _ in model) < 6
            and sum(m == metric for _, _, m in model) < 7
            and len(model) < 10
        )
        admitted = quota.admit(series, Entity(entity, "vm", b""), metric) is None
        assert admitted == (key in model or fits)
        if admitted:
            model.add(key)


def test_of_many_series_each_is_known_again_and_a_new_one_is_not() -> None:
    scattered = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(50_000)]
    limits = PointLimits(max_series_per_entity=10**6, max_series_per_metric=10**6)
    quota = SeriesQuota(limits, total=len(scattered))
    quota.advance(1)

    assert all(quota.admit(series, _VM, "m") is None for series in scattered)

    assert all(quota.admit(series, _VM, "m") is None for series in scattered)
    assert quota.admit(1, _VM, "m") is Reason.STORE_FULL
