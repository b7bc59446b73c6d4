"""A body that would take many times its bytes is refused; a large one of real points is not."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from fuzz import wire
from noon import NOON
from novacron_collector.otlp.counting import has_more_parts
from novacron_collector.otlp.decoded import Outcome
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_contract.errors import BadMessage

NOW_S = NOON - 41_600
TIME = wire.field(3, wire.FIXED64, (NOW_S * 10**9).to_bytes(8, "little"))
VALUE = wire.field(4, wire.FIXED64, bytes(8))
MIB = 2**20


def within(numbers: tuple[int, ...], body: bytes) -> bytes:
    """`body` as a message in messages, the outermost first."""
    for number in reversed(numbers):
        body = wire.field(number, wire.BYTES, body)
    return body


def filled(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


def empty(number: int) -> bytes:
    return wire.field(number, wire.BYTES, b"")


EXEMPLAR = wire.field(2, wire.FIXED64, bytes(8)) + wire.field(3, wire.FIXED64, bytes(8))
DENSE = {
    "resources": ((), empty(1)),
    "scopes": ((1,), empty(2)),
    "metrics": ((1, 2), empty(2)),
    "gauges": ((1, 2, 2, 5), empty(1)),
    "histograms": ((1, 2, 2, 9), empty(1)),
    "exponential histograms": ((1, 2, 2, 10), empty(1)),
    "resource attributes": ((1, 1), empty(1)),
    "scope attributes": ((1, 2, 1), empty(3)),
    "exemplars": ((1, 2, 2, 5, 1), within((5,), EXEMPLAR)),
}


@pytest.mark.parametrize("what", DENSE)
def test_64_mib_of_next_to_nothing_take_little_more_memory_and_time(what: str) -> None:
    """In a process of its own, whose peak is what it took."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, __file__, what],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    error, mb, cpu_s = done.stdout.rsplit(" ", 2)

    assert "in one request" in error
    assert float(mb) < 900
    assert float(cpu_s) < 20


def test_many_small_dense_bodies_together_take_little_memory() -> None:
    bodies = [within((1, 2, 2, 5), filled(empty(1), MIB))] * 32
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    outcomes = Decoder(PointLimits(), 86400, 1000).decode(bodies, NOW_S).outcomes

    assert [outcome.rejected.total() for outcome in outcomes] == [MIB // 2] * 32
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 900


def test_a_large_body_of_real_points_is_stored() -> None:
    data = otlp.MetricsData()
    gauge = data.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge
    for n in range(100_000):
        point = gauge.data_points.add(time_unix_nano=NOW_S * 10**9, as_int=n)
        point.attributes.add(key="n").value.string_value = str(n % 1000)
    body = data.SerializeToString()
    assert len(body) > 3 * MIB

    small = otlp.MetricsData.FromString(b"").SerializeToString()
    outcomes = Decoder(PointLimits(), 86400, 10_000).decode([small, body, small], NOW_S).outcomes

    assert outcomes == [Outcome(), Outcome(points=100_000), Outcome()]


def test_parts_are_counted_to_the_last_one() -> None:
    data = otlp.MetricsData()
    for _ in range(3):
        group = data.resource_metrics.add()  # 3
        group.resource.attributes.add(key="a")  # 3 resources, 3 attributes
        metric = group.scope_metrics.add().metrics.add(name="m")  # 3 scopes, 3 metrics
        metric.sum.data_points.add(as_int=300)  # 3 sums, 3 points
    body = data.SerializeToString()

    assert not has_more_parts(body, 21)
    assert has_more_parts(body, 20)


@pytest.mark.parametrize(
    "body", [b"\x0a\x05ab", b"\x0a", b"\x0a\xff\xff", b"\x0b\x00", b"\xff" * 99]
)
def test_what_cannot_be_counted_is_no_request(body: bytes) -> None:
    with pytest.raises(BadMessage, match="not an OTLP metrics request"):
        has_more_parts(body, 10)


def main(what: str) -> None:
    numbers, unit = DENSE[what]
    body = within(numbers, (TIME + VALUE if what == "exemplars" else b"") + filled(unit, 64 * MIB))
    decoder = Decoder(PointLimits(), 86400, 1000)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    (outcome,) = decoder.decode([body], NOW_S).outcomes
    mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert outcome.too_large
    sys.stdout.write(f"{outcome.error} {mb:.0f} {time.process_time() - began:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
