"""What a destination gets is what an oracle that looks at each point alone would keep."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.forward.batches import Batch, batches
from novacron_collector.forward.filter import Filter
from novacron_collector.forward.parcel import Item, contents, pack, unpack
from novacron_collector.otlp.attributes import read_attributes
from novacron_collector.wal.frames import Frame
from novacron_contract.errors import BadMessage
from otlp_messages import requests

GLOBS = st.sampled_from(["cpu", "mem", "c*", "*", "?em", "[!c]*", "x", ""])
GLOB_LISTS = st.lists(GLOBS, max_size=2)
VALUES = st.sampled_from(["a", "*", "?", "ab", "[ab]*", "", "1*", "*\0*", "true"])
WHERE = st.dictionaries(st.sampled_from(["a", "b", "ab", "vm.id", ""]), VALUES, max_size=2)


@dataclass(frozen=True)
class Point:
    """A point with all that is above it, as bytes."""

    above: tuple[bytes, ...]
    metric: str
    resource: Mapping[str, str]
    own: Mapping[str, str]
    itself: bytes


def points(body: bytes) -> Iterator[Point]:
    for group in MetricsData.FromString(body).resource_metrics:
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    yield Point(
                        (
                            *(without(group, "scope_metrics"), without(scoped, "metrics")),
                            without(metric, kind),
                            without(getattr(metric, kind), "data_points"),
                        ),
                        metric.name,
                        dict(read_attributes(group.resource.attributes, 1000).texts),
                        dict(read_attributes(point.attributes, 1000).texts),
                        point.SerializeToString(deterministic=True),
                    )


def without(message: Any, field: str) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.ClearField(field)
    return bytes(copy.SerializeToString(deterministic=True))


def wanted(
    point: Point, metrics: Sequence[str], exclude: Sequence[str], where: Mapping[str, str]
) -> bool:
    if metrics and not any(fnmatch.fnmatchcase(point.metric, glob) for glob in metrics):
        return False
    if any(fnmatch.fnmatchcase(point.metric, glob) for glob in exclude):
        return False
    attributes = {**point.resource, **point.own}
    return all(
        name in attributes and fnmatch.fnmatchcase(attributes[name], glob)
        for name, glob in where.items()
    )


@given(requests(), GLOB_LISTS, GLOB_LISTS, WHERE)
def test_exactly_the_points_are_kept_that_match_and_nothing_else_changes(
    request: Any, metrics: list[str], exclude: list[str], where: dict[str, str]
) -> None:
    body = request.SerializeToString()

    kept = Filter(metrics, exclude, where).apply(body, len(list(points(body))))

    expected = [p for p in points(body) if wanted(p, metrics, exclude, where)]
    assert list(points(kept.body)) == expected
    assert kept.points == len(expected)
    if not (metrics or exclude or where):
        assert kept.body is body
    else:
        assert bool(kept.body) == bool(expected), "what holds no point is not sent"


@pytest.mark.parametrize(
    ("metrics", "exclude", "where", "expected"),
    [
        ([], [], {}, {"web.cpu", "web.disk", "db.cpu", "db.disk"}),
        (["cpu"], [], {}, {"web.cpu", "db.cpu"}),
        (["mem", "d*"], [], {}, {"web.disk", "db.disk"}),
        ([], ["d*", "mem"], {}, {"web.cpu", "db.cpu"}),
        (["*"], ["cpu"], {}, {"web.disk", "db.disk"}),
        (["CPU"], [], {}, set()),
        ([], [], {"vm.name": "w*"}, {"web.cpu", "web.disk"}),
        ([], [], {"vm.name": "w*", "n": "1"}, {"web.cpu"}),
        ([], [], {"vm.name": "w*", "none": "*"}, set()),
        (["disk"], [], {"vm.name": "db", "n": "?"}, {"db.disk"}),
    ],
)
def test_each_part_of_a_filter(
    metrics: list[str], exclude: list[str], where: dict[str, str], expected: set[str]
) -> None:
    data = MetricsData()
    for vm in ("web", "db"):
        group = data.resource_metrics.add()
        group.resource.attributes.add(key="vm.name").value.string_value = vm
        for n, metric in enumerate(("cpu", "disk"), 1):
            gauge = group.scope_metrics.add().metrics.add(name=metric).gauge
            gauge.data_points.add(as_int=n).attributes.add(key="n").value.int_value = n

    kept = Filter(metrics, exclude, where).apply(data.SerializeToString(), 4)

    assert {f"{p.resource['vm.name']}.{p.metric}" for p in points(kept.body)} == expected
    assert kept.points == len(expected)


def test_unknown_fields_of_what_is_kept_stay() -> None:
    """A newer sender's fields are for a newer receiver."""
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="cpu")
    metric.gauge.data_points.add(as_int=1)
    unknown = b"\xca\x3e\x04news"
    metric.MergeFromString(unknown)

    kept = Filter(["c*"], [], {}).apply(data.SerializeToString(), 1)

    assert unknown in kept.body


def test_the_points_own_attribute_counts_before_its_resources() -> None:
    data = MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.add(key="vm.name").value.string_value = "web-1"
    gauge = group.scope_metrics.add().metrics.add(name="cpu").gauge
    gauge.data_points.add(as_int=1)
    gauge.data_points.add(as_int=2).attributes.add(key="vm.name").value.string_value = "db-1"

    kept = Filter([], [], {"vm.name": "web-*"}).apply(data.SerializeToString(), 2)

    assert kept.points == 1
    (point,) = points(kept.body)
    assert point.own == {}


def test_what_protobuf_does_not_read_is_told() -> None:
    with pytest.raises(BadMessage, match="cannot be filtered"):
        Filter(["x"], [], {}).apply(b"\x0a\x05ab", 1)


@given(st.lists(requests(), max_size=5), GLOB_LISTS, st.integers(1, 4000))
def test_joined_requests_say_what_they_said_alone(
    several: list[Any], metrics: list[str], size: int
) -> None:
    bodies = [bytes(one.SerializeToString()) for one in several]
    items = [Item(body, len(list(points(body)))) for body in bodies]
    keep = Filter(metrics, [], {})

    made = list(batches(items, keep, size))

    expected = [p for body in bodies for p in points(body) if wanted(p, metrics, [], {})]
    assert [p for batch in made for p in points(batch.body)] == expected
    assert sum(batch.points for batch in made) == len(expected)
    assert sum(batch.taken for batch in made) == len(items)
    assert all(len(batch.items) == 1 or len(batch.body) <= size for batch in made if batch.items)


def test_a_request_that_cannot_be_filtered_leaves_its_neighbours_alone() -> None:
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="cpu")
    metric.gauge.data_points.add(as_int=1)
    good, bad = Item(data.SerializeToString(), 1), Item(b"\x0a\x05ab", 7)

    (batch,) = batches([good, bad, good], Filter(["cpu"], [], {}), 1000)

    assert batch.points == 2
    assert [item.points for item in batch.unreadable] == [7]
    assert batch.taken == 3


def test_a_batch_is_halved_by_requests_first() -> None:
    items = [Item(b"", n) for n in range(5)]
    assert [part.items for part in Batch(items).parts()] == [items[:2], items[2:]]


@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 9)), max_size=5))
def test_a_parcel_gives_back_what_was_packed(several: list[tuple[bytes, int]]) -> None:
    items = [Item(body, count) for body, count in several]
    parcel = pack(items, 12.5)
    assert list(unpack(Frame(parcel.meta, memoryview(parcel.data)))) == items
    assert contents(parcel.meta).at == 12.5
