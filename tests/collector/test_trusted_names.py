"""By which names the API and the live feed may be asked."""

from __future__ import annotations

import pytest

from novacron_collector.trusted_names import TrustedNames

TRUSTED = TrustedNames.of(("localhost", "[::1]", "2001:db8::7", "KVM.example.com", "192.0.2.7"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8440",
        "LOCALHOST:1",
        "[::1]",
        "[::1]:8440",
        "[2001:DB8:0::7]:8440",
        "kvm.example.com.:8440",
        "192.0.2.7:8440",
    ],
)
def test_its_names_and_addresses_in_any_spelling(host: str) -> None:
    assert TRUSTED.has_host(host)
    assert TRUSTED.has_origin(f"https://{host}")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example.com",
        "localhost.evil.example.com",
        "evil@localhost",
        "localhost/evil",
        "[::2]:8440",
        "::1",
        "[::1",
        "[",
        "localhost:",
        "localhost:port",
        "192.0.2.77",
        "x" * 100_000,
        "\x00",
    ],
)
def test_no_others(host: str) -> None:
    assert not TRUSTED.has_host(host)


@pytest.mark.parametrize(
    "origin", ["null", "", "https://evil.example.com", "https://[::", "https://localhost.evil"]
)
def test_no_pages_of_others(origin: str) -> None:
    assert not TRUSTED.has_origin(origin)
