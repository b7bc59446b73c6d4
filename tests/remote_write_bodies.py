"""Prometheus remote-write requests for tests: valid ones of many shapes, plain and as sent."""

from __future__ import annotations

import struct
from typing import Any

import cramjam

import compiled_messages

STALE: float = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
HEADERS = {
    "content-encoding": "snappy",
    "content-type": "application/x-protobuf",
    "user-agent": "Prometheus/2.42.0",
    "x-prometheus-remote-write-version": "0.1.0",
}


def message(name: str) -> Any:
    """The class of prometheus.`name`."""
    return compiled_messages.message("prometheus_remote_write.proto", f"prometheus.{name}")


def series(labels: dict[str, str], *samples: tuple[float, int], **more: Any) -> Any:
    """A TimeSeries; samples are (value, unix milliseconds)."""
    pairs = [{"name": name, "value": text} for name, text in sorted(labels.items())]
    values = [{"value": value, "timestamp": at} for value, at in samples]
    return message("TimeSeries")(labels=pairs, samples=values, **more)


def native_histogram(at: int, **more: Any) -> Any:
    """Of observations -2, 0, 1, 1, 1, 4 and 300 at scale 0, at unix milliseconds `at`."""
    fields: dict[str, Any] = {
        "count_int": 7,
        "sum": 305.0,
        "schema": 0,
        "zero_threshold": 1e-128,
        "zero_count_int": 1,
        "negative_spans": [{"offset": 1, "length": 1}],
        "negative_deltas": [1],
        "positive_spans": [{"offset": 0, "length": 1}, {"offset": 1, "length": 1},
                           {"offset": 6, "length": 1}],
        "positive_deltas": [3, -2, 0],
        "timestamp": at,
    }  # fmt: skip
    return message("Histogram")(**fields | more)


def exemplar(at: int, value: float = 0.25, **labels: str) -> Any:
    pairs = [{"name": name, "value": text} for name, text in labels.items()]
    return message("Exemplar")(labels=pairs, value=value, timestamp=at)


def request(*every: Any, metadata: dict[str, str] | None = None) -> bytes:
    """Of these TimeSeries; `metadata`: what families are described as."""
    told = [
        {"type": 1, "metric_family_name": family, "help": text}
        for family, text in (metadata or {}).items()
    ]
    return bytes(message("WriteRequest")(timeseries=every, metadata=told).SerializeToString())


def compressed(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def plain_bodies(now_ms: int) -> list[bytes]:
    """Valid requests of every shape: seeds for whoever wants to damage them."""
    target = {"job": "node", "instance": "10.0.0.7:9100"}
    up = series({**target, "__name__": "up"}, (1.0, now_ms))
    cpu = [
        series({**target, "__name__": "node_cpu_seconds_total", "cpu": str(n)}, (n + 0.5, now_ms))
        for n in range(32)
    ]
    buckets = [
        series({**target, "__name__": "request_seconds_bucket", "le": le}, (count, now_ms))
        for le, count in (("0.1", 3.0), ("1", 7.0), ("+Inf", 8.0))
    ]
    traced = series(
        {**target, "__name__": "orders_total", "path": "/ü"},
        *((float(n), now_ms - 1000 * n) for n in range(20, 0, -1)),
        exemplars=[exemplar(now_ms, trace_id="5b8efff798038103d269b633813fc60c", shop="a")],
    )
    integers = series({"__name__": "latency", "job": "a/b"}, histograms=[native_histogram(now_ms)])
    floats = native_histogram(
        now_ms, count_float=3.0, zero_count_float=0.0, positive_deltas=[], negative_deltas=[],
        positive_counts=[3.0, 0.0, 0.0], negative_counts=[0.0],
    )  # fmt: skip
    rule = series({"__name__": "job:latency:sum"}, histograms=[floats])
    ended = [
        series({**target, "__name__": "up"}, (STALE, now_ms)),
        series({"__name__": "latency"}, histograms=[native_histogram(now_ms, sum=STALE)]),
    ]
    described = {"node_cpu_seconds": "Time each CPU spent.", "request_seconds": "ü" * 200}
    return [
        request(up),
        request(up, *cpu, *buckets),
        request(traced, integers, rule),
        request(*ended, up),
        request(metadata=described),
        request(*cpu, traced, metadata=described),
        request(),
    ]


def snappy_bodies(now_ms: int) -> list[bytes]:
    """The same as they are on the wire."""
    return [compressed(body) for body in plain_bodies(now_ms)]
