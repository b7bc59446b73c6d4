"""What each answer by HTTP means, from a real peer that gives it."""

from __future__ import annotations

import email.utils
import gzip
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from novacron_otlp.answer import Accepted, Doubtful, Later, Refused, TooLarge
from novacron_otlp.client import Client
from novacron_otlp.connection import Connection, open_transport
from novacron_otlp.settings import Compression
from otlp_client import CLIENT, answer_to, request, settings
from otlp_receiver import Receiver, Response, otlp_receiver
from tcp_peers import hang, serving

PROTOBUF = {"Content-Type": "application/x-protobuf"}
STATUS = bytes([0x08, 14, 0x12, 13]) + b"store is away" + bytes([0x1A, 3]) + b"\x0a\x01t"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


def partly(rejected: int, why: str = "") -> bytes:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = rejected
    answer.partial_success.error_message = why
    return bytes(answer.SerializeToString())


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        ((200, 202), Accepted),
        ((301, 302, 304, 307, 308), Later),  # redirects are not followed
        ((401, 402, 403, 404, 405, 407, 408, 425, 429), Later),
        ((502, 503, 504, 507, 511, 522, 530), Later),
        ((400, 409, 415, 422), Refused),
        ((413,), TooLarge),
        ((500, 501, 505, 406, 410, 418, 451), Doubtful),
    ],
)
def test_a_status_means(receiver: Receiver, statuses: tuple[int, ...], meaning: type) -> None:
    location = {"Location": receiver.url + "/elsewhere"}
    for status in statuses:
        receiver.will_answer(Response(status, headers=location if status < 400 else {}))
        answer = answer_to(request(), settings(receiver.url))
        assert type(answer) is meaning, status
    assert len(receiver.received) == len(statuses)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response(400, b"no such \x00 field\nsecond line"), "HTTP 400 no such field second line"),
        (Response(400, b"x" * 5000), "HTTP 400 " + "x" * 200),
        (Response(503, STATUS, PROTOBUF), "HTTP 503 store is away"),
        (Response(503, b"\xff", PROTOBUF), "HTTP 503"),
        (Response(503, gzip.compress(b"no", mtime=0), {"Content-Encoding": "gzip"}), "HTTP 503"),
        (
            Response(401, b"who?"),
            "HTTP 401 who? it wants to know who we are: see headers_file, cert_file",
        ),
        (Response(403), "HTTP 403 we may not write there: see headers_file, cert_file"),
    ],
)
def test_the_destinations_words_are_told_in_one_line(
    receiver: Receiver, response: Response, reason: str
) -> None:
    receiver.will_answer(response)
    answer = answer_to(request(), settings(receiver.url))
    assert not isinstance(answer, Accepted)
    assert answer.reason == reason


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (partly(2, "too old"), PROTOBUF, Accepted(2, "too old")),
        (partly(2), {"Content-Type": "Application/X-Protobuf; v=1"}, Accepted(2)),
        (partly(2, "too old"), {}, Accepted(2, "too old")),
        (partly(0, "a warning"), PROTOBUF, Accepted(0, "a warning")),
        (partly(-5), PROTOBUF, Accepted()),
        (b"{}\xff", PROTOBUF, Accepted()),
        (b"\n\x02\x08\x07", {"Content-Type": "text/html"}, Accepted()),  # seven, as protobuf
        (gzip.compress(partly(2), mtime=0), {**PROTOBUF, "Content-Encoding": "gzip"}, Accepted()),
    ],
)
def test_what_a_success_rejects_is_read_from_protobuf_alone(
    receiver: Receiver, body: bytes, headers: dict[str, str], expected: Accepted
) -> None:
    receiver.will_answer(Response(200, body, headers))
    assert answer_to(request(), settings(receiver.url)) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("1", 1), ("2.5", 2.5), ("0", 0), ("-7", 0), ("nan", 0), ("", 0), ("x", 0)),
        *(("inf", 600), ("9" * 400, 600), ("601", 600)),
        ("Fri, 31 Dec 9999 23:59:59 +0000", 600),
        ("Fri, 31 Dec 99999 23:59:59 +0000", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_kept_up_to_ten_minutes(
    receiver: Receiver, value: str, seconds: float
) -> None:
    receiver.will_answer(Response(503, headers={"Retry-After": value}))
    answer = answer_to(request(), settings(receiver.url))
    assert answer == Later("HTTP 503", seconds)


def test_retry_after_may_be_a_date(receiver: Receiver) -> None:
    until = email.utils.formatdate(time.time() + 100, usegmt=True)
    receiver.will_answer(Response(429, headers={"Retry-After": until}))
    answer = answer_to(request(), settings(receiver.url))
    assert isinstance(answer, Later)
    assert 50 < answer.after_s <= 100


@pytest.mark.parametrize("held", Compression)
@pytest.mark.parametrize("wanted", Compression)
def test_a_body_arrives_as_it_is_wanted_however_it_is_held(
    receiver: Receiver, held: Compression, wanted: Compression
) -> None:
    plain = request(3)
    body = gzip.compress(plain) if held is Compression.GZIP else plain
    there = settings(receiver.url, compression=str(wanted))
    assert answer_to(body, there, Client(user_agent="test/1", held=held)) == Accepted()

    [received] = receiver.received
    zipped = wanted is Compression.GZIP
    assert received.headers.get("Content-Encoding") == ("gzip" if zipped else None)
    assert (gzip.decompress(received.body) if zipped else received.body) == plain
    if held is wanted:
        assert received.body == body, "as it was sealed"


@pytest.mark.parametrize("damaged", [b"x", gzip.compress(b"x" * 99, mtime=0)[:-9]])
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_damaged_body_is_refused_and_not_sent(scheme: str, damaged: bytes) -> None:
    there = settings(f"{scheme}://127.0.0.1:9", compression="none")
    answer = answer_to(damaged, there, Client(user_agent="test/1", held=Compression.GZIP))
    assert isinstance(answer, Refused)
    assert answer.reason.startswith("the disk did not give it back: ")


@pytest.mark.parametrize("header", ["", "X-Clock"])
def test_the_senders_clock_is_told_where_it_is_wanted(receiver: Receiver, header: str) -> None:
    answer_to(request(), settings(receiver.url), Client(user_agent="a/2", clock_header=header))
    [received] = receiver.received
    assert received.headers["User-Agent"] == "a/2"
    assert received.headers["Content-Type"] == "application/x-protobuf"
    assert received.headers["Accept-Encoding"] == "identity"
    if header:
        assert abs(int(received.headers["X-Clock"]) / 1000 - time.time()) < 10
    else:
        assert not [name for name in received.headers if name.lower().startswith("x-")]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_without_a_connection_it_is_said_that_there_is_none(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    answer = answer_to(request(), settings(f"{scheme}://127.0.0.1:{port}"))
    assert isinstance(answer, Later)
    assert answer.unreachable
    assert answer.reason


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize(("timeout", "within"), [("300ms", 60.0), ("60s", 0.3)])
def test_who_does_not_answer_is_left_in_time(scheme: str, timeout: str, within: float) -> None:
    with serving(hang) as port:
        there = settings(f"{scheme}://127.0.0.1:{port}", timeout=timeout)
        transport = open_transport(there, CLIENT)
        started = time.monotonic()
        answer = transport.send(request(), within)
        took = time.monotonic() - started
        transport.close()
    assert isinstance(answer, Later)
    assert not answer.unreachable or scheme == "grpc"
    assert took < 20


def test_the_destinations_clock_is_known(receiver: Receiver) -> None:
    transport = open_transport(settings(receiver.url), CLIENT)
    transport.send(request())
    transport.close()
    assert email.utils.parsedate_to_datetime(transport.date).timestamp() > time.time() - 60


def test_addresses_and_secrets_are_new_after_a_failure(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: old")
    there = settings(receiver.url, headers_file=str(file))
    connection = Connection(partial(open_transport, there, CLIENT))
    receiver.will_answer(Response(), Response(401))
    connection.send(request())
    file.write_text("Authorization: new")
    connection.send(request())
    connection.send(request())
    file.write_text("no header")
    receiver.will_answer(Response(401))
    connection.send(request())
    assert connection.send(request()) == Later(f"{file}: line 1: expected NAME: VALUE")
    connection.close()
    sent = [one.headers["Authorization"] for one in receiver.received]
    assert sent == ["old", "old", "new", "new"]
