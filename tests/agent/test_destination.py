"""The way to a destination: TLS of a private authority, client certificates, proxies, secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from certificates import Certificates, certificates
from delivering import delivering, destination, figures, wait_until
from novacron_contract.errors import ConfigError
from otlp_grpc_receiver import GrpcReceiver, otlp_grpc_receiver
from otlp_receiver import Receiver, Response, otlp_receiver
from sealed_requests import request
from tcp_peers import forward_proxy

SECRET = "Bearer very-secret-token"


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@contextmanager
def secure(
    kind: str, tls: Certificates, *, ask_client: bool = False
) -> Iterator[tuple[str, Receiver | GrpcReceiver]]:
    if kind == "grpcs":
        with otlp_grpc_receiver(credentials=tls.grpc_credentials(ask_client)) as grpc:
            yield f"grpcs://{grpc.address}", grpc
    else:
        with otlp_receiver(tls=tls.server_context(ask_client)) as http:
            yield http.url, http


@pytest.mark.parametrize("kind", ["https", "grpcs"])
def test_a_private_authority_is_trusted_where_it_is_named(
    tmp_path: Path, tls: Certificates, kind: str
) -> None:
    with secure(kind, tls) as (url, receiver):
        with delivering(tmp_path, destination(url, ca_file=str(tls.ca))) as delivery:
            delivery.offer(request(points=2))
            wait_until(lambda: figures(delivery).get("export.points") == 2)
        assert len(receiver.received) == 1


@pytest.mark.parametrize("kind", ["https", "grpcs"])
@pytest.mark.parametrize("authority", ["other", "the system's"])
def test_whoever_shows_another_certificate_gets_nothing(
    tmp_path: Path, tls: Certificates, kind: str, authority: str, caplog: pytest.LogCaptureFixture
) -> None:
    with secure(kind, tls) as (url, receiver):
        ca = {"ca_file": str(tls.other_ca)} if authority == "other" else {}
        with delivering(tmp_path, destination(url, **ca)) as delivery:
            delivery.offer(request())
            wait_until(lambda: figures(delivery).get("export.errors", 0) >= 2)
            assert figures(delivery)["spool.batch.count"] == 1
        assert receiver.received == []
    assert "certificate" in caplog.text.lower()


@pytest.mark.parametrize("kind", ["https", "grpcs"])
def test_a_client_certificate_is_shown(tmp_path: Path, tls: Certificates, kind: str) -> None:
    files = {"cert_file": str(tls.cert), "key_file": str(tls.key), "ca_file": str(tls.ca)}
    with (
        secure(kind, tls, ask_client=True) as (url, _receiver),
        delivering(tmp_path, destination(url, **files)) as delivery,
    ):
        delivery.offer(request())
        wait_until(lambda: figures(delivery).get("export.points") == 1)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_headers_are_sent_and_a_new_secret_is_used(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "headers"
    file.write_text("# token\nAuthorization: Bearer old\n")
    more: dict[str, Any] = {"headers": {"X-Scope-OrgID": "vms"}, "headers_file": str(file)}
    if kind == "grpc":
        with otlp_grpc_receiver() as grpc:
            with delivering(tmp_path, destination(f"grpc://{grpc.address}", **more)) as delivery:
                delivery.offer(request())
                [received] = grpc.wait_for(1)
            assert received.headers["authorization"] == "Bearer old"
            assert received.headers["x-scope-orgid"] == "vms"
        return
    with otlp_receiver() as receiver:
        receiver.will_answer(Response(401, headers={"Retry-After": "0.5"}))
        with delivering(tmp_path, destination(receiver.url, **more)) as delivery:
            delivery.offer(request())
            receiver.wait_for(1)
            file.write_text(f"Authorization: {SECRET}\n")
            first, second = receiver.wait_for(2)
    assert first.headers["Authorization"] == "Bearer old"
    assert second.headers["Authorization"] == SECRET
    assert second.headers["X-Scope-OrgID"] == "vms"


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
        ({"endpoint": "ftp://very-secret"}, "endpoint: expected a URL such as"),
        ({"endpoint": "http://x?very-secret"}, "endpoint: expected nothing behind the path"),
        ({"proxy": "socks5://u:very-secret@x"}, "proxy: expected a URL such as"),
        ({"headers": {"X-Key": "very-secret\n"}}, "headers: X-Key: expected printable ASCII"),
        ({"headers": {"very secret": "x"}}, "headers: one of the names is not allowed"),
        ({"headers": {"Content-Type": "x"}}, "headers: one of the names is not allowed"),
        ({"name": "../x"}, "name: expected letters, digits, - and _"),
        ({"ca_file": "/x"}, "ca_file, cert_file and key_file need https"),
        ({"endpoint": "https://x", "key_file": "/x"}, "cert_file and key_file: one needs"),
        ({"compression": "zstd"}, "compression: expected one of gzip, none, got 'zstd'"),
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


@pytest.mark.parametrize("option", ["ca_file", "headers_file"])
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_file_that_is_not_there_is_told_at_the_start(
    tmp_path: Path, option: str, scheme: str
) -> None:
    there = destination(f"{scheme}://127.0.0.1:1", **{option: str(tmp_path / "none")})
    told = r"destination there: .*/none: cannot be .*No such file"
    with pytest.raises(ConfigError, match=told), delivering(tmp_path, there):
        pass


def test_a_line_of_secrets_that_is_wrong_is_told_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("A: b\nvery-secret\n")
    there = destination("http://127.0.0.1:1", headers_file=str(file))
    with pytest.raises(ConfigError) as found, delivering(tmp_path, there):
        pass
    assert str(found.value).endswith("headers: line 2: expected NAME: VALUE")


@pytest.mark.parametrize("kind", ["http", "https", "grpc", "grpcs"])
def test_a_proxy_is_asked_where_one_is_set(tmp_path: Path, tls: Certificates, kind: str) -> None:
    with otlp_receiver() as http, otlp_grpc_receiver() as grpc, forward_proxy() as proxy:
        if kind in ("https", "grpcs"):
            with secure(kind, tls) as (url, receiver):
                there = destination(url, proxy=proxy.url, ca_file=str(tls.ca))
                with delivering(tmp_path, there) as delivery:
                    delivery.offer(request())
                    receiver.wait_for(1)
            wanted = f"CONNECT {url.partition('//')[2]} HTTP/1.1"
        else:
            url = http.url if kind == "http" else f"grpc://{grpc.address}"
            with delivering(tmp_path, destination(url, proxy=proxy.url)) as delivery:
                delivery.offer(request())
                (http if kind == "http" else grpc).wait_for(1)
            wanted = f"POST {url}/v1/metrics HTTP/1.1"
            if kind == "grpc":
                wanted = f"CONNECT {grpc.address} HTTP/1.1"
    assert proxy.asked[0] == wanted
