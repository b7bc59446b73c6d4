"""The way to a destination: TLS of a private authority, client certificates, proxies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certificates import Certificates, certificates
from forwarding import GrpcTarget, destination, forwarding, gauge, grpc_target, values
from live_feed import wait_until
from novacron_contract.errors import ConfigError
from otlp_receiver import Receiver, otlp_receiver
from tcp_peers import forward_proxy


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@contextmanager
def secure(kind: str, tls: Certificates, ask_client: bool) -> Iterator[tuple[str, object]]:
    if kind == "grpcs":
        with grpc_target(tls.grpc_credentials(ask_client)) as target:
            yield f"grpcs://{target.address}", target
    else:
        with otlp_receiver(tls=tls.server_context(ask_client)) as receiver:
            yield receiver.url, receiver


def arrived(target: object) -> list[tuple[str, int]]:
    assert isinstance(target, Receiver | GrpcTarget)
    return values(target.received)


@pytest.mark.parametrize("kind", ["https", "grpcs"])
def test_a_private_authority_is_trusted_where_it_is_named(
    tmp_path: Path, tls: Certificates, kind: str
) -> None:
    with secure(kind, tls, ask_client=False) as (url, target):
        there = destination(url, ca_file=str(tls.ca))
        with forwarding(tmp_path, there) as forwarder:
            forwarder.offer([gauge("cpu")])
            wait_until(lambda: forwarder.counters()["forward_there_points"] == 1)
        assert arrived(target) == [("cpu", 0)]


@pytest.mark.parametrize("kind", ["https", "grpcs"])
@pytest.mark.parametrize("authority", ["other", "the system's"])
def test_whoever_shows_another_certificate_gets_nothing(
    tmp_path: Path, tls: Certificates, kind: str, authority: str
) -> None:
    with secure(kind, tls, ask_client=False) as (url, target):
        ca = {"ca_file": str(tls.other_ca)} if authority == "other" else {}
        with forwarding(tmp_path, destination(url, **ca), drain_s=1) as forwarder:
            forwarder.offer([gauge("cpu")])
            wait_until(lambda: forwarder.counters()["forward_there_failed"] >= 2)
            (state,) = forwarder.state().destinations
            assert "certificate" in state.problem.lower()
            assert forwarder.counters()["forward_there_waiting_bytes"] > 0
        assert arrived(target) == []


@pytest.mark.parametrize("kind", ["https", "grpcs"])
def test_a_client_certificate_is_shown(tmp_path: Path, tls: Certificates, kind: str) -> None:
    with secure(kind, tls, ask_client=True) as (url, target):
        files = {"cert_file": str(tls.cert), "key_file": str(tls.key)}
        there = destination(url, ca_file=str(tls.ca), **files)
        with forwarding(tmp_path, there) as forwarder:
            forwarder.offer([gauge("cpu")])
            wait_until(lambda: forwarder.counters()["forward_there_points"] == 1)
        assert arrived(target) == [("cpu", 0)]


@pytest.mark.parametrize("setting", ["ca_file", "headers_file"])
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_file_that_is_not_there_is_told_at_the_start(
    tmp_path: Path, setting: str, scheme: str
) -> None:
    there = destination(f"{scheme}://127.0.0.1:1", **{setting: str(tmp_path / "none")})
    told = r"forward: there: .*/none: cannot be .*No such file"
    with pytest.raises(ConfigError, match=told), forwarding(tmp_path, there):
        pass


def test_a_proxy_is_asked_for_plain_http(tmp_path: Path) -> None:
    with (
        otlp_receiver() as target,
        forward_proxy() as proxy,
        forwarding(tmp_path, destination(target.url, proxy=proxy.url)) as forwarder,
    ):
        forwarder.offer([gauge("cpu")])
        assert values(target.wait_for(1)) == [("cpu", 0)]
    assert proxy.asked == [f"POST {target.url}/v1/metrics HTTP/1.1"]


def test_a_proxy_tunnels_tls(tmp_path: Path, tls: Certificates) -> None:
    with otlp_receiver(tls=tls.server_context()) as target, forward_proxy() as proxy:
        there = destination(target.url, proxy=proxy.url, ca_file=str(tls.ca))
        with forwarding(tmp_path, there) as forwarder:
            forwarder.offer([gauge("cpu")])
            assert values(target.wait_for(1)) == [("cpu", 0)]
    assert proxy.asked == [f"CONNECT {target.url.removeprefix('https://')} HTTP/1.1"]
