"""[[forward]] in collector.toml: what is allowed, and the one line that a mistake gets."""

from __future__ import annotations

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
    ("url", "is_grpc", "uses_tls", "target"),
    [
        (HTTP, False, False, HTTP),
        ("https://otlp.example.com", False, True, "https://otlp.example.com/v1/metrics"),
        ("https://x/?tenant=a", False, True, "https://x/v1/metrics?tenant=a"),
        ("https://[::1]:4318/otlp?tenant=a", False, True, "https://[::1]:4318/otlp?tenant=a"),
        ("grpc://127.0.0.1:4317", True, False, "grpc://127.0.0.1:4317"),
        ("grpcs://otlp.example.com:443/", True, True, "grpcs://otlp.example.com:443/"),
    ],
)
def test_a_url_says_protocol_and_tls_and_keeps_its_path(
    url: str, is_grpc: bool, uses_tls: bool, target: str
) -> None:
    settings = parsed(url=url)
    assert (settings.is_grpc, settings.uses_tls, settings.target) == (is_grpc, uses_tls, target)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"name": "a/b"}, "f: name: expected letters, digits, - and _, 64 at most, got 'a/b'"),
        ({"url": "http://u:s3cret@x"}, "f: url: a user or password belongs into headers_file"),
        ({"proxy": "socks5://u:s3cret@p"}, "f: proxy: expected a URL"),
        ({"queue_size": "1MiB"}, "f: queue_size: must be at least"),
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
