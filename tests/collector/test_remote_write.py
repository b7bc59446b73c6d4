"""What a remote-write sender is told: POST /api/v1/write, in plain words."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from collector_process import CollectorProcess
from novacron_collector.admission import Room
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.pipeline import Pipeline
from novacron_collector.receivers.body import BodyLimits
from novacron_collector.receivers.http import create_app
from novacron_collector.receivers.intake import Intake
from novacron_collector.receivers.remote_write import PATH
from remote_write_bodies import (
    HEADERS,
    STALE,
    compressed,
    exemplar,
    native_histogram,
    request,
    series,
    snappy_bodies,
)
from sql_rows import rows
from store_process import StoreProcess
from wal_folder import opened


@pytest.fixture(scope="module")
def http(collector_process: CollectorProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=collector_process.http, headers=HEADERS) as client:
        yield client


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_what_is_stored_is_answered_without_words(http: httpx.Client) -> None:
    for body in snappy_bodies(now_ms()):
        answer = http.post(PATH, content=body)

        assert (answer.status_code, answer.content) == (204, b"")


def test_samples_histograms_and_exemplars_are_in_the_tables_people_read(
    http: httpx.Client, store_process: StoreProcess
) -> None:
    job, now = f"shop-{uuid.uuid4()}", now_ms()
    target = {"job": f"eu/{job}", "instance": "10.0.0.7:80"}
    trace = "5b8efff798038103d269b633813fc60c"
    body = request(
        series(
            {**target, "__name__": "orders_total", "path": "/"},
            (7.0, now - 1000),
            (8.0, now),
            exemplars=[exemplar(now, trace_id=trace, user="x")],
        ),
        series({**target, "__name__": "queue_bytes"}, (4096.0, now - 1000), (STALE, now)),
        series({**target, "__name__": "latency_seconds"}, histograms=[native_histogram(now)]),
        metadata={"orders": "Orders taken."},
    )

    assert http.post(PATH, content=compressed(body)).status_code == 204

    entity = f"eu/{job}/10.0.0.7:80"
    samples = rows(store_process, "metric, value", "samples", entity, count=3)
    assert samples == [("orders_total", 7.0), ("orders_total", 8.0), ("queue_bytes", 4096.0)]
    assert rows(store_process, "metric", "series_ends", entity) == [("queue_bytes",)]
    described = "metric, kind, temporality, monotonic, unit, attributes"
    assert rows(store_process, described, "series", entity, count=3) == [
        ("latency_seconds", "exponential_histogram", "cumulative", False, "s", {}),
        ("orders_total", "sum", "cumulative", True, "", {"path": "/"}),
        ("queue_bytes", "gauge", "unspecified", False, "By", {}),
    ]
    buckets = "count, sum, zero_count, positive_offset, positive_buckets, negative_buckets"
    assert rows(store_process, buckets, "exponential_histograms", entity) == [
        (7, 305.0, 1, -1, [3, 0, 1, 0, 0, 0, 0, 0, 0, 1], [1])
    ]
    assert rows(store_process, "value, trace_id, attributes", "exemplars", entity) == [
        (0.25, trace, {"user": "x"})
    ]


def test_what_is_wrong_is_counted_by_reason_and_its_neighbours_are_stored(
    http: httpx.Client, store_process: StoreProcess
) -> None:
    job, now = f"shop-{uuid.uuid4()}", now_ms()
    body = request(
        series({"__name__": "good", "job": job}, (1.0, now)),
        series({"__name__": "good", "job": job}, (2.0, now + 3_600_000), (3.0, 0)),
        series({"__name__": "", "job": job}, (4.0, now)),
        series({"__name__": "bad", "": "x", "job": job}, (5.0, now), (6.0, now - 1)),
        series({"__name__": "h"}, histograms=[native_histogram(now, schema=-53)]),
    )

    answer = http.post(PATH, content=compressed(body))

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    counts, _, reasons = answer.text.strip().partition(": ")
    assert counts == "1 points are stored, 6 are not and never will be"
    assert set(reasons.split("; ")) == {
        "2: a label has no name",
        "1: timestamp too far in the future",
        "1: no timestamp",
        "1: the metric has no name",
        "1: a native histogram of a schema other than -4 to 8",
    }
    assert rows(store_process, "metric, value", "samples", job, count=1) == [("good", 1.0)]


def test_refusals_are_among_the_collectors_own_counts(
    http: httpx.Client, collector_process: CollectorProcess
) -> None:
    body = request(series({"__name__": "m", "": "x"}, (1.0, now_ms())))

    assert http.post(PATH, content=compressed(body)).status_code == 400

    counters = httpx.get(f"{collector_process.api}/v1/status").json()["counters"]
    assert counters["points_rejected.nameless_label"] >= 1


@pytest.mark.parametrize(
    ("body", "headers", "code", "says"),
    [
        (b"", {}, 400, "no snappy block"),
        (b"junk", {}, 400, "no snappy block"),
        (b"\xff\x06\0\0sNaPpY", {}, 400, "no snappy block"),
        (compressed(b"x" * 100)[:-3], {}, 400, "no snappy block"),
        (compressed(b"junk"), {}, 400, "not a remote-write request"),
        (compressed(b"\0" * (16 * 2**20 + 1)), {}, 413, "when inflated"),
        (b"\xff\xff\xff\xff\x0f", {}, 413, "when inflated"),
        (b"\x80\x80\x04junk", {}, 400, "no snappy block"),
        (b"\0" * (16 * 2**20 + 1), {}, 413, "send fewer points"),
        (b"", {"content-encoding": "gzip"}, 415, "expected snappy"),
        (b"", {"content-type": "application/json"}, 415, "expected Content-Type"),
        (
            b"",
            {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
            415,
            "send remote write 1.0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_cannot_be_taken_is_refused_in_words(
    http: httpx.Client, body: bytes, headers: dict[str, str], code: int, says: str
) -> None:
    answer = http.post(PATH, content=body, headers=headers)

    assert answer.status_code == code
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert says in answer.text
    assert "retry-after" not in answer.headers


def test_the_message_may_be_named_and_the_encoding_left_out(http: httpx.Client) -> None:
    kind = 'application/x-protobuf; proto="prometheus.WriteRequest"'
    body = compressed(request(series({"__name__": "up"}, (1.0, now_ms()))))
    headers = {"content-type": kind}

    answer = httpx.post(f"{http.base_url}{PATH}", content=body, headers=headers)

    assert answer.status_code == 204


def test_other_methods_say_what_is_right(http: httpx.Client) -> None:
    answer = http.get(PATH)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_what_may_succeed_later_is_a_503_because_prometheus_drops_what_is_a_429(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        wal, decoder = opened(tmp_path), Decoder(PointLimits(), 86400, 1000)
        pipeline = Pipeline(decoder, wal.log, wal.ledger, wal.poison, 0.1)
        room = Room(max_bytes=100, max_requests=1)
        app = create_app(Intake(pipeline, room), BodyLimits(10_000, 10_000, 60), json_limit=10_000)
        transport = httpx.ASGITransport(app)
        body = compressed(request(series({"__name__": "up", "l": "x" * 200}, (1.0, now_ms()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            answer = await client.post(PATH, content=body, headers=HEADERS)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "no room for more" in answer.text
        assert (room.requests, room.bytes) == (0, 0)

    asyncio.run(scenario())
