"""Ports that reach beyond this machine: TLS, and a token of who sends."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cramjam
import httpx
import pytest

from certificates import Certificates, certificates
from enrolled import ADMIN, World, enrolling
from free_ports import free_port
from novacron_agent.enrolment.membership import ssl_context
from novacron_contract.access import Role
from novacron_otlp.answer import Accepted, Later
from novacron_store.state.ingest_tokens import IngestTokens
from otlp_client import answer_to, request, settings
from principals import signed_in

PROTOBUF = {"content-type": "application/x-protobuf"}
SOON_S = 5.0


def everywhere(*names: str) -> tuple[dict[str, int], str]:
    """Ports, and settings under [listen] by which they are open on all addresses of IPv6 and 4."""
    ports = {name: free_port() for name in names}
    return ports, "".join(f'{name} = "[::]:{port}"\n' for name, port in ports.items())


@pytest.fixture(scope="module")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, int]]]:
    ports, listen = everywhere("otlp_http", "otlp_grpc")
    with enrolling(tmp_path_factory.mktemp("open"), listen=listen) as world:
        yield world, ports


def authority(world: World) -> Path:
    return world.collector.folder / "authority" / "ca.pem"


def trusting(world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority(world))


def token(world: World) -> tuple[str, str]:
    """Its id and secret."""
    made, secret = IngestTokens(world.state).create("lab", ADMIN, datetime.now(UTC), None)
    return made.id, secret


def within_s(seconds: float, is_so: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() < began + seconds
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_without_a_token_nothing_is_taken_beyond_this_machine(
    open_world: tuple[World, dict[str, int]], host: str
) -> None:
    world, ports = open_world
    base = f"https://{host}:{ports['otlp_http']}"
    with httpx.Client(base_url=base, verify=trusting(world), trust_env=False) as client:
        for path in ("/v1/metrics", "/api/v1/write"):
            for headers in ({}, {"authorization": "Basic eA=="}, {"authorization": "Bearer x"}):
                answer = client.post(path, content=request(), headers={**PROTOBUF, **headers})
                assert (path, answer.status_code) == (path, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "novacron ingest-token create" in answer.text
        join = {"authorization": f"Bearer {world.secret()}", **PROTOBUF}
        assert client.post("/v1/metrics", content=request(), headers=join).status_code == 401
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"http://{host}:{ports['otlp_http']}/v1/metrics", content=request())


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_token_lets_in_until_it_is_revoked(
    open_world: tuple[World, dict[str, int]], scheme: str
) -> None:
    world, ports = open_world
    port = ports["otlp_http" if scheme == "https" else "otlp_grpc"]
    path = "/v1/metrics" if scheme == "https" else ""
    token_id, secret = token(world)
    there = settings(
        f"{scheme}://localhost:{port}{path}",
        ca_file=str(authority(world)),
        headers={"authorization": f"Bearer {secret}"},
    )
    within_s(SOON_S, lambda: isinstance(answer_to(request(), there), Accepted))
    IngestTokens(world.state).revoke(token_id, datetime.now(UTC), ADMIN)
    took = within_s(SOON_S, lambda: isinstance(answer_to(request(), there), Later))
    assert took < 2
    refused = answer_to(request(), there)
    assert isinstance(refused, Later)
    assert "401" in refused.reason or "UNAUTHENTICATED" in refused.reason
    assert secret not in world.collector.log


def test_prometheus_sends_with_a_token(open_world: tuple[World, dict[str, int]]) -> None:
    world, ports = open_world
    _, secret = token(world)
    empty = bytes(cramjam.snappy.compress_raw(b""))
    headers = {**PROTOBUF, "content-encoding": "snappy", "authorization": f"Bearer {secret}"}
    url = f"https://localhost:{ports['otlp_http']}/api/v1/write"
    with httpx.Client(verify=trusting(world), trust_env=False) as client:
        within_s(
            SOON_S, lambda: client.post(url, content=empty, headers=headers).status_code == 204
        )


def test_a_second_token_holds_before_the_first_is_revoked(
    open_world: tuple[World, dict[str, int]],
) -> None:
    """Rotation: every request is taken."""
    world, ports = open_world
    old_id, old = token(world)
    _, new = token(world)
    base = f"https://localhost:{ports['otlp_http']}"
    with httpx.Client(base_url=base, verify=trusting(world), trust_env=False) as client:

        def code(secret: str) -> int:
            headers = {**PROTOBUF, "authorization": f"Bearer {secret}"}
            return client.post("/v1/metrics", content=request(), headers=headers).status_code

        within_s(SOON_S, lambda: (code(old), code(new)) == (200, 200))
        IngestTokens(world.state).revoke(old_id, datetime.now(UTC), ADMIN)
        within_s(2, lambda: code(old) == 401)
        assert code(new) == 200


def test_on_this_machine_nobody_is_asked_but_a_wrong_token_is_told(tmp_path: Path) -> None:
    with enrolling(tmp_path) as world:
        url = f"{world.collector.http}/v1/metrics"
        wrong = {**PROTOBUF, "authorization": "Bearer nci_" + "x" * 43}
        assert httpx.post(url, content=request(), headers=PROTOBUF).status_code == 200
        assert httpx.post(url, content=request(), headers=wrong).status_code == 401
        there = settings(f"grpc://{world.collector.grpc}")
        assert isinstance(answer_to(request(), there), Accepted)
        there = settings(
            f"grpc://{world.collector.grpc}", headers={"authorization": wrong["authorization"]}
        )
        refused = answer_to(request(), there)
        assert isinstance(refused, Later)
        assert "UNAUTHENTICATED" in refused.reason


def test_an_operators_certificate_is_shown_and_read_again_without_a_break(
    tmp_path: Path,
) -> None:
    ports, listen = everywhere("otlp_http", "otlp_grpc")
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    old, new = certificates(first), certificates(second)
    files = f'[tls]\ncert_file = "{old.cert}"\nkey_file = "{old.key}"\n'
    with enrolling(tmp_path, more=files, listen=listen) as world:
        _, secret = token(world)
        headers = {**PROTOBUF, "authorization": f"Bearer {secret}"}
        url = f"https://127.0.0.1:{ports['otlp_http']}/v1/metrics"

        def taken(client: httpx.Client) -> bool:
            answer = client.post(url, content=request(), headers=headers)
            return answer.status_code == 200

        def trusted(tls: Certificates) -> bool:
            try:
                context = ssl.create_default_context(cafile=tls.ca)
                with httpx.Client(verify=context, trust_env=False) as client:
                    return taken(client)
            except httpx.ConnectError:
                return False

        def over_grpc(tls: Certificates) -> bool:
            there = settings(
                f"grpcs://127.0.0.1:{ports['otlp_grpc']}",
                ca_file=str(tls.ca),
                headers={"authorization": f"Bearer {secret}"},
            )
            return isinstance(answer_to(request(), there), Accepted)

        context = ssl.create_default_context(cafile=old.ca)
        with httpx.Client(verify=context, trust_env=False) as kept:
            within_s(SOON_S, lambda: taken(kept))
            assert over_grpc(old)
            old.key.write_bytes(new.key.read_bytes())  # for a moment they do not match
            old.cert.write_bytes(new.cert.read_bytes())
            within_s(15, lambda: trusted(new))
            assert taken(kept)
        assert not trusted(old)
        assert over_grpc(new)
        agent = world.joined("agent")
        assert "authority" not in agent.membership.url


def test_the_api_beyond_this_machine_speaks_tls_and_lets_nobody_in_who_is_not_known(
    tmp_path: Path,
) -> None:
    ports, listen = everywhere("api")
    url = f"https://localhost:{ports['api']}"
    named = '[tls]\nnames = ["collector.example.com"]\n'
    with (
        enrolling(tmp_path, more=named, listen=listen, api=url) as world,
        httpx.Client(base_url=url, verify=trusting(world), trust_env=False) as client,
    ):
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/hosts").status_code == 401
        admin = signed_in(world.state, Role.ADMIN)
        assert client.get("/v1/identities", headers=admin).json()["total"] == 0
        for host, status in (
            ("collector.example.com:8440", 200),
            ("[::1]:8440", 200),
            ("evil.example.com", 400),
        ):
            assert client.get("/healthz", headers={"host": host}).status_code == status
        made = client.post("/v1/join-tokens", json={}, headers=admin)
        agent = world.agent("invited")
        assert agent.join(made.json()["line"]).returncode == 0
        known = client.get("/v1/identities", headers=admin).json()["identities"]
        assert [one["agent_id"] for one in known] == [agent.id]
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{ports['api']}/healthz")


def test_each_credential_is_one_at_its_own_port_alone(tmp_path: Path) -> None:
    """All ports are open and speak TLS: what is known at one of them is nobody at the others."""
    ports, listen = everywhere("otlp_http", "api")
    url = {name: f"https://localhost:{port}" for name, port in ports.items()}
    with enrolling(tmp_path, listen=listen, api=url["api"]) as world:
        agent = world.joined("agent")
        url["agents"] = f"https://{world.collector.agents}"
        user = signed_in(world.state, Role.ADMIN)
        ingest = {"Authorization": f"Bearer {token(world)[1]}"}
        join = {"Authorization": f"Bearer {world.secret()}"}
        certificate = ssl_context(agent.folder / "identity")
        asked = {
            "api": ("GET", f"{url['api']}/v1/users"),
            "agents": ("GET", f"{url['agents']}/v1/agents/self/commands?wait=0"),
            "otlp_http": ("POST", f"{url['otlp_http']}/v1/metrics"),
        }
        allowed = {("user", "api"), ("ingest", "otlp_http"), ("certificate", "agents")}
        with httpx.Client(verify=trusting(world), trust_env=False) as client:
            told = partial(client.post, asked["otlp_http"][1], headers={**PROTOBUF, **ingest})
            within_s(SOON_S, lambda: told().status_code != 401)  # a new token is known soon
        for port, (method, where) in asked.items():
            for name, headers in (("user", user), ("ingest", ingest), ("join", join)):
                with httpx.Client(verify=trusting(world), trust_env=False) as client:
                    sent = client.request(method, where, headers={**PROTOBUF, **headers})
                assert (sent.status_code != 401) == ((name, port) in allowed), (name, port)
            with httpx.Client(verify=certificate, trust_env=False) as client:
                sent = client.request(method, where, headers=PROTOBUF)
            assert (sent.status_code != 401) == (("certificate", port) in allowed), port
