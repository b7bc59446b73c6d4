"""The way to a destination: TLS of a private authority, client certificates, proxies, secrets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from certificates import certificates
from delivering import delivering, destination, figures, wait_until
from novacron_contract.errors import ConfigError
from otlp_grpc_receiver import otlp_grpc_receiver
from otlp_receiver import Response, otlp_receiver
from sealed_requests import request

SECRET = "Bearer very-secret-token"


def test_a_private_authority_and_a_client_certificate_are_of_use(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    files = {"cert_file": str(tls.cert), "key_file": str(tls.key), "ca_file": str(tls.ca)}
    with (
        otlp_receiver(tls=tls.server_context(ask_client=True)) as receiver,
        delivering(tmp_path, destination(receiver.url, **files)) as delivery,
    ):
        delivery.offer(request(points=2))
        wait_until(lambda: figures(delivery).get("export.points") == 2)


def test_whoever_shows_another_certificate_gets_nothing_and_the_batch_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls = certificates(tmp_path)
    with otlp_receiver(tls=tls.server_context()) as receiver:
        with delivering(tmp_path, destination(receiver.url)) as delivery:
            delivery.offer(request())
            wait_until(lambda: figures(delivery).get("export.errors", 0) >= 2)
            assert figures(delivery)["spool.batch.count"] == 1
        assert receiver.received == []
    assert "certificate" in caplog.text.lower()


def test_a_new_secret_is_used(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("# token\nAuthorization: Bearer old\n")
    with otlp_receiver() as receiver:
        receiver.will_answer(Response(401, headers={"Retry-After": "0.5"}))
        there = destination(receiver.url, headers_file=str(file))
        with delivering(tmp_path, there) as delivery:
            delivery.offer(request())
            receiver.wait_for(1)
            file.write_text(f"Authorization: {SECRET}\n")
            received = receiver.wait_for(2)
    assert [one.headers["Authorization"] for one in received] == ["Bearer old", SECRET]


@pytest.mark.parametrize("kind", ["http", "grpc", "away"])
def test_no_secret_is_ever_logged(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "novacron_agent")
    file = tmp_path / "headers"
    file.write_text(f"Authorization: {SECRET}\n")
    with otlp_receiver() as http, otlp_grpc_receiver() as grpc:
        http.will_answer(Response(401), Response(400))
        url = {"http": http.url, "grpc": f"grpc://{grpc.address}", "away": "http://127.0.0.1:9"}
        with delivering(tmp_path, destination(url[kind], headers_file=str(file))) as delivery:
            delivery.offer(request())
            wait_until(lambda: bool(figures(delivery)))
            file.write_text(f"Authorization: {SECRET}\x00\n")
            delivery.offer(request())
            wait_until(lambda: bool(caplog.records))
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"endpoint": "https://user:very-secret@x"}, "a user or password belongs into headers_fil"),
        ({"endpoint": "http://x?very-secret"}, "endpoint: expected nothing behind the path"),
        ({"name": "../x"}, "name: expected letters, digits, - and _"),
        ({"spool_size": "1MiB"}, "spool_size: must be at least"),
    ],
)
def test_a_mistake_is_one_line_without_the_secret(options: dict[str, Any], complaint: str) -> None:
    table: dict[str, Any] = {"endpoint": "http://x", **options}
    with pytest.raises(ConfigError) as found:
        destination(table.pop("endpoint"), **table)
    assert complaint in str(found.value)
    assert "very-secret" not in str(found.value)
    assert "\n" not in str(found.value)


def test_a_file_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    there = destination("https://127.0.0.1:1", ca_file=str(tmp_path / "none"))
    told = r"destination there: .*/none: cannot be .*No such file"
    with pytest.raises(ConfigError, match=told), delivering(tmp_path, there):
        pass
