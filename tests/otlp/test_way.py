"""The way to a destination: TLS of a private authority, client certificates, proxies, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certificates import Certificates, certificates
from novacron_contract.errors import ConfigError
from novacron_otlp.answer import Accepted, Later
from novacron_otlp.client import Client
from otlp_client import answer_to, receiver_of, request, settings
from tcp_peers import forward_proxy

PLAIN, SECURE = ("http", "grpc"), ("https", "grpcs")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("scheme", SECURE)
def test_a_private_authority_is_trusted_where_it_is_named(tls: Certificates, scheme: str) -> None:
    with receiver_of(scheme, tls) as (url, receiver):
        assert answer_to(request(2), settings(url, ca_file=str(tls.ca))) == Accepted()
    assert [one.points for one in receiver.received] == [2]


@pytest.mark.parametrize("scheme", SECURE)
@pytest.mark.parametrize("authority", ["other", "the system's"])
def test_whoever_shows_another_certificate_gets_nothing(
    tls: Certificates, scheme: str, authority: str
) -> None:
    ca = {"ca_file": str(tls.other_ca)} if authority == "other" else {}
    with receiver_of(scheme, tls) as (url, receiver):
        answer = answer_to(request(), settings(url, **ca))
    assert isinstance(answer, Later)
    assert "certificate" in answer.reason.lower()
    assert receiver.received == []


@pytest.mark.parametrize("scheme", SECURE)
def test_a_client_certificate_is_shown(tls: Certificates, scheme: str) -> None:
    files = {"ca_file": str(tls.ca), "cert_file": str(tls.cert), "key_file": str(tls.key)}
    with receiver_of(scheme, tls, ask_client=True) as (url, _):
        assert answer_to(request(), settings(url, **files)) == Accepted()
        assert isinstance(answer_to(request(), settings(url, ca_file=str(tls.ca))), Later)


@pytest.mark.parametrize("scheme", SECURE)
@pytest.mark.parametrize("option", ["ca_file", "headers_file"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, scheme: str, option: str) -> None:
    there = settings(f"{scheme}://127.0.0.1:1", **{option: str(tmp_path / "none")})
    with pytest.raises(ConfigError, match=r".*/none: cannot be .*No such file"):
        answer_to(request(), there)


@pytest.mark.parametrize("scheme", PLAIN)
def test_headers_are_sent(tls: Certificates, tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "headers"
    file.write_text("# token\n\nAuthorization: Bearer a:b\nX-Two:2\n")
    headers = {"X-Scope-OrgID": "vms", "X-Two": "1"}
    with receiver_of(scheme, tls) as (url, receiver):
        answer_to(request(), settings(url, headers=headers, headers_file=str(file)))
    found = {name.lower(): text for name, text in receiver.received[0].headers.items()}
    assert found["x-scope-orgid"] == "vms"
    assert found["authorization"] == "Bearer a:b"
    assert found["x-two"] == "2"
    assert found["user-agent"].startswith("test/1")


@pytest.mark.parametrize("scheme", [*PLAIN, *SECURE])
def test_a_proxy_is_asked_where_one_is_set(tls: Certificates, scheme: str) -> None:
    ca = {"ca_file": str(tls.ca)} if scheme in SECURE else {}
    with receiver_of(scheme, tls) as (url, _), forward_proxy() as proxy:
        assert answer_to(request(), settings(url, proxy=proxy.url, **ca)) == Accepted()
    asked = f"POST {url}/" if scheme == "http" else f"CONNECT {url.partition('//')[2]}"
    assert proxy.asked == [f"{asked} HTTP/1.1"]


@pytest.mark.parametrize("scheme", [*PLAIN, *SECURE])
@pytest.mark.parametrize("environment", [True, False])
def test_a_proxy_of_the_environment_is_asked_by_who_may_alone(
    scheme: str, environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy() as proxy:
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        away = settings(f"{scheme}://0.0.0.0:9", timeout="2s")
        client = Client(user_agent="test/1", environment=environment)
        assert isinstance(answer_to(request(), away, client), Later)
    assert ["0.0.0.0:9" in line for line in proxy.asked[:1]] == [True] * environment


@pytest.mark.parametrize("scheme", PLAIN)
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    tls: Certificates, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiver_of(scheme, tls) as (url, _):
        client = Client(user_agent="test/1", environment=True)
        assert answer_to(request(), settings(url), client) == Accepted()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"url": "otlp.example.com:4318"}, "url: expected a URL such as"),
        ({"url": "ftp://s3cret"}, "url: expected a URL such as"),
        ({"url": "http://x:99999"}, "url: expected a URL such as"),
        ({"url": "http://x/s3 cret"}, "url: expected a URL such as"),
        ({"url": "https://user:s3cret@x"}, "url: a user or password belongs into headers_file"),
        ({"url": "grpc://x"}, "url: expected grpc://HOST:PORT or grpcs"),
        ({"url": "grpc://x:1/path"}, "url: expected grpc://HOST:PORT or grpcs"),
        ({"url": "grpc://x:1?s3cret"}, "url: expected grpc://HOST:PORT or grpcs"),
        ({"proxy": "p:3128"}, "proxy: expected a URL such as"),
        ({"proxy": "socks5://u:s3cret@x"}, "proxy: expected a URL such as"),
        ({"url": "grpc://x:1", "proxy": "https://u:s3cret@x"}, "proxy: gRPC goes through http://"),
        ({"headers": {"a": 1}}, "headers: a: expected text, got 1"),
        ({"headers": {"a": "s3cret\r\nb: c"}}, "headers: a: expected printable ASCII text"),
        ({"headers": {"s3cret a": "x"}}, "headers: one of the names is not allowed"),
        ({"headers": {"Content-Type": "x"}}, "headers: one of the names is not allowed"),
        ({"url": "grpc://x:1", "headers": {"x-bin": "x"}}, "headers: one of the names is not"),
        ({"url": "grpc://x:1", "headers": {"s3cret!": "x"}}, "headers: one of the names is not"),
        ({"url": "grpc://x:1", "headers": {"grpc-x": "x"}}, "headers: one of the names is not"),
        ({"name": "../x"}, "name: expected letters, digits, - and _, 64 at most, got '../x'"),
        ({"name": ""}, "name: expected letters"),
        ({"ca_file": "/x"}, "ca_file, cert_file and key_file need https:// or grpcs://"),
        ({"url": "https://x", "key_file": "/x"}, "cert_file and key_file: one needs the other"),
        ({"compression": "zstd"}, "compression: expected one of gzip, none, got 'zstd'"),
    ],
)
def test_a_mistake_is_one_line_without_the_secret(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as found:
        settings(**{"url": "http://x", **options})
    assert str(found.value).startswith(f"test: {complaint}")
    assert "s3cret" not in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("line", ["s3cret", "s3cret value", "s3 cret: x", "Host: x", "a:", "a: ü"])
def test_a_wrong_line_of_the_headers_file_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "headers"
    file.write_text(f"a: b\n{line}\n")
    with pytest.raises(ConfigError) as found:
        settings("http://x", headers_file=str(file)).all_headers()
    assert str(found.value) == f"{file}: line 2: expected NAME: VALUE"
