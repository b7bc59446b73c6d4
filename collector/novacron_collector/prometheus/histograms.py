"""Prometheus' native histograms as OTLP's exponential histograms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint

from novacron_collector.prometheus.messages import Histogram
from novacron_collector.prometheus.refusals import Refusal, RefusedError
from novacron_collector.prometheus.times import is_stale, nanoseconds

_SCHEMAS = range(-4, 9)
_MAX_BYTES_PER_BUCKET = 64  # a span and a count of each sign take less
_GAUGE = 3  # of reset_hint
_MAX_COUNT = 2**64 - 1
_INT32 = range(-(2**31), 2**31)


def exponential_point(body: bytes, max_buckets: int) -> Any:
    """A Histogram as an ExponentialHistogramDataPoint without attributes.

    Raises:
        RefusedError: OTLP has no form for it, or it contradicts itself.
        DecodeError: it is no histogram.
    """
    if len(body) > _MAX_BYTES_PER_BUCKET * (max_buckets + 16):
        raise RefusedError(Refusal.BAD_SPANS)
    histogram = Histogram.FromString(body)
    at = nanoseconds(histogram.timestamp)
    if is_stale(histogram.sum):
        return ExponentialHistogramDataPoint(time_unix_nano=at, flags=1)
    if histogram.schema not in _SCHEMAS:
        raise RefusedError(Refusal.CUSTOM_BUCKETS)
    if histogram.reset_hint == _GAUGE:
        raise RefusedError(Refusal.GAUGE_HISTOGRAM)
    point = ExponentialHistogramDataPoint(
        time_unix_nano=at,
        count=_whole(histogram.count_int or histogram.count_float),
        sum=histogram.sum,
        scale=histogram.schema,
        zero_count=_whole(histogram.zero_count_int or histogram.zero_count_float),
        zero_threshold=histogram.zero_threshold,
    )
    for side in ("positive", "negative"):
        spans = getattr(histogram, f"{side}_spans")
        counts = list(_counts(histogram, side))
        start, dense = _dense(spans, counts, max_buckets)
        if dense:
            # Prometheus' bucket i ends at base^i, OTLP's begins there.
            getattr(point, side).offset = start - 1
            getattr(point, side).bucket_counts.extend(dense)
    return point


def _counts(histogram: Any, side: str) -> Iterator[int]:
    deltas, floats = getattr(histogram, f"{side}_deltas"), getattr(histogram, f"{side}_counts")
    if deltas and floats:
        raise RefusedError(Refusal.BAD_SPANS)
    return map(_whole, accumulate(deltas) if deltas else floats)


def _whole(count: float) -> int:
    if not (math.isfinite(count) and count == int(count)):
        raise RefusedError(Refusal.FRACTIONAL)
    if not 0 <= count <= _MAX_COUNT:
        raise RefusedError(Refusal.BAD_SPANS)
    return int(count)


def _dense(spans: Sequence[Any], counts: list[int], max_buckets: int) -> tuple[int, list[int]]:
    """The index of the first bucket, and all counts from there on: what spans skip is 0."""
    if sum(span.length for span in spans) != len(counts):
        raise RefusedError(Refusal.BAD_SPANS)
    dense: list[int] = []
    start = taken = 0
    for number, span in enumerate(spans):
        if number == 0:
            start = span.offset
        elif span.offset < 0 or len(dense) + span.offset > max_buckets:
            raise RefusedError(Refusal.BAD_SPANS)
        else:
            dense += [0] * span.offset
        dense += counts[taken : taken + span.length]
        taken += span.length
    if len(dense) > max_buckets or start - 1 not in _INT32:
        raise RefusedError(Refusal.BAD_SPANS)
    return start, dense
