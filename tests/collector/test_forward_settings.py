"""[[forward]] in collector.toml: what is allowed, and the one line that a mistake gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from novacron_collector.forward.settings import ForwardSettings
from novacron_collector.settings import Settings
from novacron_contract.errors import ConfigError
from novacron_contract.settings import parse

HTTP = "http://otlp.example.com:4318/v1/metrics"
NEEDED = {"state": {"url": "sqlite://"}, "wal": {"path": "wal"}}


def parsed(**table: Any) -> ForwardSettings:
    return parse({"name": "n", "url": HTTP, **table}, ForwardSettings, where="f")


@pytest.mark.parametrize(
    ("url", "is_grpc", "uses_tls"),
    [
        (HTTP, False, False),
        ("https://otlp.example.com", False, True),
        ("https://[::1]:4318/otlp/v1/metrics?tenant=a", False, True),
        ("grpc://127.0.0.1:4317", True, False),
        ("grpcs://otlp.example.com:443/", True, True),
    ],
)
def test_a_url_says_protocol_and_tls(url: str, is_grpc: bool, uses_tls: bool) -> None:
    settings = parsed(url=url)
    assert (settings.is_grpc, settings.uses_tls) == (is_grpc, uses_tls)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"name": "a/b"}, "f: name: expected letters, digits, - and _, 64 at most, got 'a/b'"),
        ({"name": ".."}, "f: name: expected letters"),
        ({"name": ""}, "f: name: expected letters"),
        ({"url": "otlp.example.com:4318"}, "f: url: expected http(s)://HOST:PORT/v1/metrics or"),
        ({"url": "ftp://x:1"}, "f: url: expected http(s)"),
        ({"url": "http://x:99999"}, "f: url: expected http(s)"),
        ({"url": "http://u:s3cret@x"}, "f: url: a user or password belongs into headers_file"),
        ({"url": "grpc://x"}, "f: url: expected grpc://HOST:PORT"),
        ({"url": "grpc://x:1/path"}, "f: url: expected grpc://HOST:PORT"),
        ({"ca_file": "ca.pem"}, "f: ca_file, cert_file and key_file need https:// or grpcs://"),
        ({"url": "https://x", "cert_file": "c"}, "f: cert_file and key_file: one needs the other"),
        ({"url": "grpc://x:1", "proxy": "http://p:1"}, "f: proxy: only for http:// and https://"),
        ({"proxy": "p:3128"}, "f: proxy: expected a URL"),
        ({"compression": "zstd"}, "f: compression: expected one of gzip, none, got 'zstd'"),
        ({"queue_size": "1MiB"}, "f: queue_size: must be at least"),
        ({"headers": {"a": 1}}, "f: headers: a: expected text, got 1"),
        ({"headers": {"a b": "s3cret"}}, "f: headers: one of the names is not allowed"),
        ({"headers": {"Content-Type": "x"}}, "f: headers: one of the names is not allowed"),
        ({"headers": {"a": "s3cret\r\nb: c"}}, "f: headers: a: expected printable ASCII text"),
        ({"metrics": "vm.*"}, "f: metrics: expected a list, got 'vm.*'"),
        ({"where": {"a": ["b"]}}, "f: where: a: expected text"),
    ],
)
def test_a_mistake_is_one_line_without_a_secret(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parsed(**table)
    assert str(refused.value).startswith(says)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_destinations_share_no_name() -> None:
    """Not even on a file system that takes A for a."""
    tables = [{"name": "a", "url": HTTP}, {"name": "b", "url": HTTP}, {"name": "A", "url": HTTP}]
    with pytest.raises(ConfigError, match=r"^f: forward: two destinations are named 'a'$"):
        parse({**NEEDED, "forward": tables}, Settings, where="f")


def test_headers_of_the_file_join_the_others(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("# a comment\n\nAuthorization: Bearer a:b\nX-Two:2\n")
    settings = parsed(headers={"X-One": "1", "X-Two": "1"}, headers_file=str(file))
    assert settings.all_headers() == {"X-One": "1", "X-Two": "2", "Authorization": "Bearer a:b"}


@pytest.mark.parametrize("line", ["s3cret", "s3cret value", "s3 cret: x", "Host: x", "a:", "a: ü"])
def test_a_wrong_line_of_the_headers_file_is_told_without_its_content(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "headers"
    file.write_text(f"a: b\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        parsed(headers_file=str(file)).all_headers()
    assert str(refused.value) == f"{file}: line 2: expected NAME: VALUE"
