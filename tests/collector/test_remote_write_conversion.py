"""What Prometheus sends is what is stored: remote write through its conversion to OTLP."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from batch_rows import rows_of
from novacron_collector.otlp.catalog import Catalog
from novacron_collector.otlp.decoded import Decoded
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits, Reason
from novacron_collector.otlp.overflow import Overflow
from novacron_collector.otlp.plain import PlainDecoder
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.raw import RawDecoder
from novacron_collector.prometheus.convert import Converter
from novacron_collector.prometheus.histograms import exponential_point
from novacron_collector.prometheus.names import Descriptions, is_counter, unit_of
from novacron_collector.prometheus.refusals import Refusal
from novacron_collector.prometheus.times import nanoseconds
from novacron_contract.errors import BadMessage, TooLarge
from remote_write_bodies import (
    exemplar,
    message,
    native_histogram,
    plain_bodies,
    request,
    series,
)
from remote_write_requests import NOW_MS, WINDOW, Expected, requests, sorted_text

_LIMITS = PointLimits()
_SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def converter(max_bytes: int = 2**26) -> Converter:
    return Converter(_LIMITS, max_bytes)


def memory() -> tuple[Catalog, SeriesQuota, Overflow]:
    """Of a decoder that has met nothing yet."""
    return Catalog(1000), SeriesQuota(_LIMITS, 1000), Overflow()


def decoded(body: bytes) -> Decoded:
    return PlainDecoder(_LIMITS, *memory()).decode([body], WINDOW, NOW_MS)


def rows(found: Decoded, table: str) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Each row of a table, behind its (metric, entity, attributes)."""
    tables = rows_of(found.batch)
    labels = {
        row["series"]: (row["monotonic"], row["unit"], sorted_text(dict(row["attributes"])))
        for row in tables.get("series", [])
    }
    for row in tables.get(table, []):
        monotonic, unit, attributes = labels[row["series"]]
        entity = "resource" if row["entity"].startswith("resource-") else row["entity"]
        yield (row["metric"], entity, attributes), row | {"kind": (monotonic, unit)}


def ms(row: dict[str, Any]) -> int:
    return int(row["ts"].timestamp() * 1000 + 0.5)


def buckets(row: dict[str, Any], side: str) -> str:
    """By Prometheus' index, which is of the bucket that ends at that power."""
    first = row[f"{side}_offset"] + 1
    return sorted_text({n: c for n, c in enumerate(row[f"{side}_buckets"], first) if c})  # type: ignore[misc]


@given(requests())
@_SETTINGS
def test_what_is_stored_is_what_a_simple_reading_expects(sent: Any) -> None:
    expected = Expected(sent)

    converted = converter().convert(sent.SerializeToString())
    found = decoded(converted.body)

    samples = [
        (*key, row["kind"], ms(row), repr(row["value"])) for key, row in rows(found, "samples")
    ]
    histograms = [
        (*key, ms(row), True)
        if row["no_value"]
        else (
            *(*key, ms(row), False, row["count"], repr(row["sum"]), row["scale"]),
            *(row["zero_count"], row["zero_threshold"]),
            *(buckets(row, side) for side in ("positive", "negative")),
        )
        for key, row in rows(found, "exponential_histograms")
    ]
    exemplars = [
        (*key, ms(row), row["value"], row["trace_id"], sorted_text(dict(row["attributes"])))
        for key, row in rows(found, "exemplars")
    ]
    assert sorted(samples) == sorted(expected.samples)
    assert sorted(histograms) == sorted(expected.histograms)
    assert sorted(exemplars) == sorted(expected.exemplars)
    (outcome,) = found.outcomes
    assert converted.rejected.total() + outcome.rejected.total() == expected.rejected


@pytest.mark.parametrize("number", range(7))
def test_every_shape_is_converted_whole_and_is_read_by_the_fast_path_too(number: int) -> None:
    body = plain_bodies(NOW_MS)[number]
    sent = message("WriteRequest").FromString(body)

    converted = converter().convert(body)
    decoder = RawDecoder(_LIMITS, *memory(), capacity=1000)
    fast = decoder.decode([converted.body], WINDOW, NOW_MS)

    assert not converted.rejected
    assert fast.outcomes == decoded(converted.body).outcomes
    assert fast.outcomes[0].points == sum(
        len(s.samples) + len(s.histograms) for s in sent.timeseries
    )
    assert not fast.outcomes[0].rejected


def refused(*every: Any, raw: bytes = b"") -> dict[StrEnum, int]:
    """What is refused of these series, each of which has a sound one beside it."""
    sound = series({"__name__": "sound"}, (1.0, NOW_MS))
    converted = converter().convert(request(*every, sound) + raw)
    assert [row["metric"] for _, row in rows(decoded(converted.body), "samples")] == ["sound"]
    return dict(converted.rejected)


def test_a_time_that_otlp_cannot_have_becomes_the_nearest_it_can() -> None:
    assert [nanoseconds(ms) for ms in (-1, 0, 1, 2**63 - 1)] == [0, 0, 10**6, 2**64 - 1]


def test_a_native_histogram_has_each_observation_in_the_bucket_it_is_in() -> None:
    point = exponential_point(native_histogram(NOW_MS).SerializeToString(), 1024)

    def holds(side: Any, value: float) -> bool:
        """Of OTLP's bucket i: over 2^i, up to 2^(i+1), at scale 0."""
        ends = enumerate(side.bucket_counts, side.offset)
        return any(count and 2.0**n < value <= 2.0 ** (n + 1) for n, count in ends)

    assert (point.count, point.zero_count, point.scale) == (7, 1, 0)
    assert [holds(point.positive, value) for value in (1, 4, 300, 2, 0.5, 8, 256, 513)] == [
        *3 * [True],
        *5 * [False],
    ]
    assert [holds(point.negative, value) for value in (2, 1, 2.5)] == [True, False, False]
    assert sum(point.positive.bucket_counts) == 5


def test_a_label_that_is_wrong_costs_its_series_alone() -> None:
    two = ((1.0, NOW_MS), (2.0, NOW_MS - 1))
    twice = series({"__name__": "m", "a": "x"}, *two)
    twice.labels.add(name="a", value="y")

    assert refused(series({"__name__": "m", "": "x"}, *two)) == {Refusal.NAMELESS_LABEL: 2}
    assert refused(twice) == {Refusal.LABEL_TWICE: 2}
    many = {"__name__": "m", **{f"l{n}": "x" for n in range(1000)}}
    assert refused(series(many, *two)) == {Reason.TOO_MANY_ATTRIBUTES: 2}


def test_a_label_that_is_not_utf8_costs_its_series_alone() -> None:
    good = request(series({"__name__": "m", "a": "xy"}, (1.0, NOW_MS)))

    assert refused(raw=good.replace(b"xy", b"\xff\xfe")) == {Refusal.NOT_UTF8: 1}


def test_a_million_labels_are_refused_without_being_read() -> None:
    labels = message("TimeSeries")(labels=[message("Label")(name="l", value="v")] * 1_000_000)
    labels.samples.add(value=1, timestamp=NOW_MS)

    assert refused(labels) == {Reason.TOO_MANY_ATTRIBUTES: 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": -53}, Refusal.CUSTOM_BUCKETS),
        ({"schema": 9}, Refusal.CUSTOM_BUCKETS),
        ({"reset_hint": 3}, Refusal.GAUGE_HISTOGRAM),
        ({"count_float": 1.5}, Refusal.FRACTIONAL),
        ({"count_float": float("nan")}, Refusal.FRACTIONAL),
        ({"count_float": 2.0**65}, Refusal.BAD_SPANS),
        ({"positive_deltas": [3, -4, 0]}, Refusal.BAD_SPANS),
        ({"positive_deltas": [3]}, Refusal.BAD_SPANS),
        ({"positive_counts": [3.0]}, Refusal.BAD_SPANS),
        ({"positive_spans": [{"offset": -(2**31), "length": 3}]}, Refusal.BAD_SPANS),
        (
            {"positive_spans": [{"length": 1}, {"offset": -1, "length": 2}]},
            Refusal.BAD_SPANS,
        ),
        (
            {"positive_spans": [{"length": 1}, {"offset": 2**31 - 1, "length": 2}]},
            Refusal.BAD_SPANS,
        ),
        ({"positive_spans": [{"length": 2**32 - 1}]}, Refusal.BAD_SPANS),
        ({"positive_spans": [{}] * 200_000}, Refusal.BAD_SPANS),
    ],
)
def test_a_native_histogram_without_a_form_in_otlp_is_refused(
    change: dict[str, Any], reason: Refusal
) -> None:
    wrong = native_histogram(NOW_MS, **change)

    assert refused(series({"__name__": "m"}, histograms=[wrong])) == {reason: 1}


def test_an_exemplar_that_comes_after_its_sample_goes_with_it() -> None:
    shared = converter()
    labels = {"__name__": "orders_total", "job": "shop", "path": "/"}
    late = series(labels, exemplars=[exemplar(NOW_MS, span_id="eee19b7ec3c1b174", user="7")])

    unknown = shared.convert(request(late))
    first = decoded(shared.convert(request(series(labels, (7.0, NOW_MS)))).body)
    second = decoded(shared.convert(request(late)).body)

    assert (unknown.body, unknown.rejected) == (b"", {Refusal.LONE_EXEMPLAR: 1})
    assert list(rows(second, "samples")) == list(rows(first, "samples")), "the same sample again"
    ((_, row),) = rows(second, "exemplars")
    assert (row["span_id"], row["trace_id"], row["value"]) == ("eee19b7ec3c1b174", "", 0.25)
    assert row["attributes"] == [("user", "7")]


def test_an_exemplar_of_a_native_histogram_that_comes_later_goes_with_it() -> None:
    shared = converter()
    labels = {"__name__": "latency", "job": "shop"}
    shared.convert(request(series(labels, histograms=[native_histogram(NOW_MS)])))

    found = decoded(shared.convert(request(series(labels, exemplars=[exemplar(NOW_MS)]))).body)

    assert [row["count"] for _, row in rows(found, "exponential_histograms")] == [7]
    assert [row["value"] for _, row in rows(found, "exemplars")] == [0.25]


def test_descriptions_come_from_metadata_and_change_no_series() -> None:
    shared, decoder = converter(), Decoder(_LIMITS, 7 * 86400, 1000)
    sample = series({"__name__": "http_seconds_count", "job": "web"}, (1.0, NOW_MS))
    before = decoder.decode([shared.convert(request(sample)).body], NOW_MS / 1000)
    shared.convert(request(metadata={"http_seconds": "How long answers took."}))
    after = decoder.decode([shared.convert(request(sample)).body], NOW_MS / 1000)

    told = [
        [row["description"] for row in part.batch.tables["metrics"].to_pylist()]
        for part in (before, after)
    ]
    assert told == [[""], ["How long answers took."]]
    assert rows_of(before.batch)["samples"] == rows_of(after.batch)["samples"]


def test_the_order_of_labels_makes_no_other_series() -> None:
    one = series({"__name__": "m", "a": "1", "b": "2", "job": "j"}, (1.0, NOW_MS))
    other = message("TimeSeries")(labels=reversed(one.labels), samples=one.samples)

    found = decoded(converter().convert(request(one, other)).body)

    assert len(set(found.batch.tables["samples"]["series"].to_pylist())) == 1


@pytest.mark.parametrize("body", [b"junk", b"\x0a\x03\x0a\x01\xff", b"\x0a\x05\x0a\x02ab"])
def test_what_is_no_write_request_is_told_so(body: bytes) -> None:
    with pytest.raises(BadMessage, match="not a remote-write request"):
        converter().convert(body)


def test_a_small_request_that_would_become_a_large_one_is_refused() -> None:
    wide = series({"__name__": "m", "a": "x" * 4000}, *((1.0, NOW_MS - n) for n in range(1000)))

    with pytest.raises(TooLarge, match="too large as OTLP"):
        converter(max_bytes=2**20).convert(request(wide))


def test_more_series_than_anyone_sends_are_refused() -> None:
    with pytest.raises(TooLarge, match="200000 series"):
        converter().convert(b"\x0a\0" * 200_001)
    many = message("TimeSeries")(exemplars=[exemplar(NOW_MS)] * 1_000_001)
    with pytest.raises(TooLarge, match="1000000 samples"):
        converter().convert(request(many))


def test_exemplars_without_end_take_no_time_without_end() -> None:
    many = series({"__name__": "m"}, (1.0, NOW_MS), exemplars=[exemplar(NOW_MS)] * 50_000)

    found = decoded(converter().convert(request(many)).body)

    assert found.batch.tables["exemplars"].num_rows == 50_000


def test_the_names_of_prometheus_tell_kind_and_unit() -> None:
    assert [is_counter(n) for n in ("a_total", "a_sum", "a_count", "a_bucket", "a", "total")] == [
        *4 * [True],
        *2 * [False],
    ]
    units = {
        "process_cpu_seconds_total": "s",
        "a_seconds_sum": "s",
        "a_seconds_count": "",
        "a_seconds_bucket": "",
        "node_memory_MemFree_bytes": "By",
        "up": "",
    }
    assert {name: unit_of(name) for name in units} == units


def test_descriptions_are_bounded_and_the_newest_stay() -> None:
    known = Descriptions(capacity=2)
    for family in ("a", "b", "a", "c"):
        known.add(family, f"of {family}")
    known.add("", "nobody")
    known.add("c", "")

    assert len(known) == 2
    assert [known.of(name) for name in ("a_total", "b", "c", "d_sum")] == ["of a", "", "of c", ""]


def test_memory_for_known_series_is_bounded_and_forgetting_changes_nothing() -> None:
    small = Converter(_LIMITS, 2**26, remembered=10_000)
    for n in range(100):
        body = request(series({"__name__": "m", "n": str(n)}, (1.0, NOW_MS)))
        assert small.convert(body) == converter().convert(body)
        assert len(small) < 20
