"""Halves of a request, down to a point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_otlp.split import halves, points
from otlp_messages import requests


def alone(body: bytes) -> Iterator[tuple[bytes, ...]]:
    """Each point, and what is above it without its neighbours."""
    for group in MetricsData.FromString(body).resource_metrics:
        of_group = without(group, "scope_metrics")
        for scoped in group.scope_metrics:
            of_scope = without(scoped, "metrics")
            for metric in scoped.metrics:
                kind = metric.WhichOneof("data")
                if kind:
                    data = getattr(metric, kind)
                    above = (
                        of_group,
                        of_scope,
                        without(metric, kind),
                        without(data, "data_points"),
                    )
                    for point in data.data_points:
                        yield (*above, point.SerializeToString(deterministic=True))


def without(message: Any, field: str) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.ClearField(field)
    return bytes(copy.SerializeToString(deterministic=True))


@settings(max_examples=40)
@given(requests())
def test_halves_together_say_what_the_whole_said(request: Any) -> None:
    whole = bytes(request.SerializeToString())
    parts, done = [whole], list[bytes]()
    while parts:
        both = halves(parts[0])
        if both is None:
            done.append(parts.pop(0))
        else:
            parts[:1] = both

    assert list(alone(b"".join(done))) == list(alone(whole))
    assert all(len(list(points(part))) <= 1 for part in done), "halved until one point is left"


def test_what_is_no_request_has_no_halves() -> None:
    assert halves(b"\x0a\x05ab") is None
