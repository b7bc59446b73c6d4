"""Port 8441 as agents and others meet it: real sockets, real TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from certificates import Certificates, certificates
from enrolled import ADMIN, Agent, World, enrolling, soon
from novacron_agent.enrolment.membership import ssl_context
from novacron_agent.enrolment.renew import renew
from novacron_agent.enrolment.request import new_request
from novacron_collector.tls.authority import key_pem, new_key, open_authority
from novacron_contract.settings import host_port
from novacron_store.state.audit import Audit, Wanted
from novacron_store.state.copy import dump
from novacron_store.state.identities import Certificate, Standing
from novacron_store.state.ingest_tokens import IngestTokens
from otlp_client import request

HOUR = timedelta(hours=1)
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with enrolling(tmp_path_factory.mktemp("enrolled")) as world:
        yield world


@pytest.fixture(scope="module")
def agent(world: World) -> Agent:
    return world.joined("agent", "h-agent")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("strangers"))


def nobody(world: World) -> httpx.Client:
    """Who trusts the collector, and shows no certificate."""
    context = ssl.create_default_context(cafile=world.collector.folder / "authority" / "ca.pem")
    return httpx.Client(
        base_url=f"https://{world.collector.agents}", verify=context, trust_env=False
    )


def shown(world: World, folder: Path, key: bytes, certificate: str) -> ssl.SSLContext:
    """A context that trusts the collector and shows this certificate."""
    (folder / "shown.pem").write_bytes(key + certificate.encode())
    context = ssl.create_default_context(cafile=world.collector.folder / "authority" / "ca.pem")
    context.load_cert_chain(folder / "shown.pem")
    return context


def joining(agent_id: str, token: str) -> dict[str, object]:
    said = {"csr": new_request(agent_id).csr, "agent_id": agent_id, "host_id": f"of-{agent_id}"}
    return {"token": token, **said, "name": "lab", "version": "0.1.0"}


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


# -- who is let in --------------------------------------------------------------------------------


def test_an_agent_that_joined_sends_as_itself(world: World, agent: Agent) -> None:
    with agent.client() as client:
        assert client.post("/v1/metrics", content=request(), headers=PROTOBUF).status_code == 200
    known = world.identities.identity(agent.id)
    assert (known.host_id, known.joined_from, known.standing) == ("h-agent", "127.0.0.1", "active")
    assert world.identities.certificates(agent.id)[0].used is not None


def test_without_a_certificate_there_is_enrolment_alone(world: World, agent: Agent) -> None:
    ingest = IngestTokens(world.state).create("prometheus", ADMIN, datetime.now(UTC), None)[1]
    join = world.secret()
    with nobody(world) as client:
        for secret in ("", ingest, join, "nct_" + ingest[4:]):
            headers = {"authorization": f"Bearer {secret}", **PROTOBUF} if secret else PROTOBUF
            for method, path in (
                ("POST", "/v1/metrics"),
                ("POST", "/v1/agents/renew"),
                ("GET", "/v1/agents/self/commands?wait=25"),
                ("GET", "/"),
            ):
                answer = client.request(method, path, content=request(), headers=headers)
                assert (path, answer.status_code) == (path, 401)
                assert b"no token is taken here" in answer.content


def test_a_certificate_of_another_authority_ends_the_handshake(
    world: World, strangers: Certificates
) -> None:
    context = ssl.create_default_context(cafile=world.collector.folder / "authority" / "ca.pem")
    context.load_cert_chain(strangers.cert, strangers.key)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://{world.collector.agents}/", verify=context, trust_env=False)


def test_an_altered_certificate_ends_the_handshake(
    world: World, agent: Agent, tmp_path: Path
) -> None:
    whole = (agent.folder / "identity" / "agent.pem").read_text()
    key, _, rest = whole.partition("-----BEGIN CERTIFICATE-----")
    der = bytearray(ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE-----" + rest))
    der[der.index(agent.id[:8].encode())] ^= 1  # another agent's name, under the same signature
    context = shown(world, tmp_path, key.encode(), ssl.DER_cert_to_PEM_cert(bytes(der)))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://{world.collector.agents}/", verify=context, trust_env=False)


def test_a_certificate_that_ended_ends_the_handshake(
    world: World, agent: Agent, tmp_path: Path
) -> None:
    authority = open_authority(world.collector.folder / "authority")
    asked, then = new_request(agent.id), datetime.now(UTC) - 2 * HOUR
    signed = authority.sign_agent(asked.csr, agent.id, then, HOUR)
    context = shown(world, tmp_path, asked.key, signed.pem)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://{world.collector.agents}/", verify=context, trust_env=False)


def test_a_certificate_that_nobody_recorded_is_none(
    world: World, agent: Agent, tmp_path: Path
) -> None:
    authority = open_authority(world.collector.folder / "authority")
    asked, now = new_request(agent.id), datetime.now(UTC)
    signed = authority.sign_agent(asked.csr, agent.id, now, HOUR)
    context = shown(world, tmp_path, asked.key, signed.pem)
    with httpx.Client(verify=context, trust_env=False) as client:
        answer = client.get(f"https://{world.collector.agents}/")
    assert (answer.status_code, answer.json()["error"]) == (401, "Unauthenticated")


def test_a_serial_of_one_agent_under_the_name_of_another_is_none(
    world: World, agent: Agent, tmp_path: Path
) -> None:
    """Signed by the authority itself, which therefore does not happen."""
    authority = open_authority(world.collector.folder / "authority")
    other = world.joined("other-name", "h-other-name")
    asked, now = new_request(agent.id), datetime.now(UTC)
    signed = authority.sign_agent(asked.csr, agent.id, now, HOUR)
    world.identities.renew(Certificate(signed.serial, other.id, now, None, signed.ends))
    context = shown(world, tmp_path, asked.key, signed.pem)
    with httpx.Client(verify=context, trust_env=False) as client:
        assert client.get(f"https://{world.collector.agents}/").status_code == 401


def test_the_collectors_own_certificate_is_none_of_a_client(world: World, tmp_path: Path) -> None:
    authority = open_authority(world.collector.folder / "authority")
    key = new_key()
    signed = authority.sign_server(key.public_key(), ["localhost"], datetime.now(UTC), HOUR)
    context = shown(world, tmp_path, key_pem(key), signed.pem)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://{world.collector.agents}/", verify=context, trust_env=False)


def test_an_agents_certificate_is_none_of_a_server(world: World, agent: Agent) -> None:
    """So that no agent can play the collector for the others."""
    identity = agent.folder / "identity"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(identity / "agent.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                server.wrap_socket(connection, server_side=True).read()

        thread = threading.Thread(target=answer)
        thread.start()
        client = ssl.create_default_context(cafile=identity / "ca.pem")
        client.check_hostname = False
        with (
            socket.create_connection(listener.getsockname()) as sock,
            pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"),
        ):
            client.wrap_socket(sock)
        thread.join()


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_tls_is_refused(world: World, version: str) -> None:
    command = ["openssl", "s_client", "-cipher", "ALL:@SECLEVEL=0", version]
    ended = subprocess.run(
        [*command, "-connect", world.collector.agents],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert ended.returncode != 0
    assert b"Cipher is (NONE)" in ended.stdout


def test_http_without_tls_is_not_answered(world: World) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{world.collector.agents}/")


# -- ending ---------------------------------------------------------------------------------------


def test_an_agent_that_goes_away_in_the_middle_of_a_request_is_no_defect(
    world: World, agent: Agent
) -> None:
    host, _, port = world.collector.agents.rpartition(":")
    head = b"POST /v1/agents/renew HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with (
        socket.create_connection((host, int(port))) as sock,
        ssl_context(agent.folder / "identity").wrap_socket(sock, server_hostname=host) as tls,
    ):
        tls.sendall(head)
    with agent.client() as client:
        soon(400, client)
    assert "Traceback" not in world.collector.log


def test_a_revoked_agent_is_refused_within_a_second_on_an_open_connection(world: World) -> None:
    agent = world.joined("revoked", "h-revoked")
    with agent.client() as client:
        assert client.post("/v1/agents/renew", json={}).status_code == 400
        began = time.monotonic()
        world.identities.end(agent.id, Standing.REVOKED, "sold", datetime.now(UTC))
        refused = soon(403, client)
        assert time.monotonic() - began < 2
        assert refused.json()["message"] == "this agent is revoked: sold"
        answer = client.post("/v1/metrics", content=request(), headers=PROTOBUF)
        assert answer.status_code == 403


def test_a_revoked_agent_may_join_again_and_its_old_certificate_stays_dead(world: World) -> None:
    agent = world.joined("again", "h-again")
    old = agent.client()
    world.identities.end(agent.id, Standing.REVOKED, "stolen", datetime.now(UTC))
    ended = agent.join(world.line(), "--again")
    assert ended.returncode == 0, ended.stderr
    with old, agent.client() as new:
        assert new.post("/v1/agents/renew", json={}).status_code == 400
        assert old.post("/v1/agents/renew", json={}).status_code == 401


# -- joining --------------------------------------------------------------------------------------


def test_of_a_hundred_that_use_one_token_at_a_time_one_joins(tmp_path: Path) -> None:
    with enrolling(tmp_path) as world:
        secret = world.secret()
        bodies = [joining(uuid_of(number), secret) for number in range(100)]

        def join(body: dict[str, object]) -> int:
            with nobody(world) as client:
                return client.post("/v1/agents/enroll", json=body, timeout=60).status_code

        with ThreadPoolExecutor(20) as pool:
            codes = list(pool.map(join, bodies))
        assert codes.count(200) == 1
        assert set(codes) <= {200, 401, 429}
        assert len(world.identities.all()) == 1


@pytest.mark.parametrize(
    ("more", "status", "why"),
    [
        ({"csr": "nonsense"}, 400, "csr: expected a certificate request"),
        ({"agent_id": "../../etc"}, 400, "agent_id: expected a UUID"),
        ({"agent_id": "00000000000040008000000000000001"}, 400, "in its usual form"),
        ({"host_id": "x" * 101}, 400, "host_id: expected 1 to 100"),
        ({"name": "a\nb"}, 400, "name: expected"),
        ({"version": 7}, 400, "expected token, csr"),
        ({"token": "nvj_" + "x" * 43}, 401, "unknown, or was deleted"),
        ({"token": "nci_" + "x" * 43}, 401, "this is no join token"),
        ({"padding": "x" * 20_000}, 413, "more than 16384 bytes"),
    ],
)
def test_what_an_agent_says_when_it_joins_is_checked(
    checked: World,
    more: dict[str, object],
    status: int,
    why: str,
) -> None:
    body = {**joining(uuid_of(7), checked.secret()), **more}
    with nobody(checked) as client:
        answer = client.post("/v1/agents/enroll", json=body)
    assert (answer.status_code, why in answer.json()["message"]) == (status, True), answer.text


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Where others' failures are not counted."""
    with enrolling(tmp_path_factory.mktemp("checked")) as world:
        yield world


def test_who_guesses_is_slowed_down_and_who_joined_is_not(tmp_path: Path) -> None:
    with enrolling(tmp_path) as world:
        agent = world.joined("agent")
        guess = joining(uuid_of(1), "nvj_" + "x" * 43)
        with nobody(world) as client:
            codes = [client.post("/v1/agents/enroll", json=guess).status_code for _ in range(30)]
            limited = client.post("/v1/agents/enroll", json=guess)
        assert codes[:20] == [401] * 20
        assert limited.status_code == 429
        assert limited.headers["retry-after"]
        with agent.client() as client:
            assert client.post("/v1/agents/renew", json={}).status_code == 400


def test_who_sends_no_request_is_sent_away_and_few_are_waited_for(tmp_path: Path) -> None:
    head = b"POST /v1/agents/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    with enrolling(tmp_path) as world, ExitStack() as open_ones:
        context = ssl.create_default_context(cafile=world.collector.folder / "authority" / "ca.pem")
        where = host_port(world.collector.agents)
        answers = []
        for _ in range(64 + 1):
            sock = socket.create_connection(where, timeout=30)
            peer = open_ones.enter_context(context.wrap_socket(sock, server_hostname=where[0]))
            peer.sendall(head)
            answers.append(peer)
        statuses = []
        for peer in answers:
            answer = b""
            while part := peer.recv(4096):  # to its end: the connection is closed
                answer += part
            statuses.append(answer.split()[1])
        assert statuses.count(b"429") == 1
        assert statuses.count(b"408") == 64
        assert world.joined("after", "h-after").id


# -- renewal --------------------------------------------------------------------------------------


def test_a_renewed_certificate_is_another_one_and_the_old_lasts_a_while(world: World) -> None:
    agent = world.joined("renewed", "h-renewed")
    with agent.client() as old:
        assert old.post("/v1/agents/renew", json={}).status_code == 400
        first = agent.membership.serial
        assert renew(agent.folder / "identity").serial == agent.membership.serial != first
        with agent.client() as new:
            assert new.post("/v1/agents/renew", json={}).status_code == 400
        assert old.post("/v1/agents/renew", json={}).status_code == 400
    ends = {one.serial: one.ends for one in world.identities.certificates(agent.id)}
    assert ends[first] - datetime.now(UTC) < timedelta(minutes=5)
    assert ends[agent.membership.serial] - datetime.now(UTC) > timedelta(days=6)
    told = Audit(world.state).rows(Wanted(action="agent.renew"))
    entry = next(row for row in told if row.target == f"agent:{agent.id}")
    assert entry.source == "127.0.0.1"
    assert agent.membership.serial in entry.detail


def test_certificates_that_are_never_used_are_few(world: World) -> None:
    agent = world.joined("hoarder", "h-hoarder")
    with agent.client() as client:
        csr = new_request(agent.id).csr
        answers = [client.post("/v1/agents/renew", json={"csr": csr}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]


def test_a_request_for_another_agents_id_gives_a_certificate_of_ones_own(
    world: World, agent: Agent, tmp_path: Path
) -> None:
    asked = new_request(uuid_of(99))
    with agent.client() as client:
        answer = client.post("/v1/agents/renew", json={"csr": asked.csr}).json()
    assert answer["agent_id"] == agent.id
    serial = world.identities.certificates(agent.id)[0].serial
    assert answer["serial"] == serial


# -- secrets --------------------------------------------------------------------------------------


def test_no_secret_is_in_logs_database_or_answers(world: World, agent: Agent) -> None:
    secret = world.secret()
    with nobody(world) as client:
        wrong = {**joining(uuid_of(3), secret), "host_id": "h-agent"}
        answer = client.post("/v1/agents/enroll", json=wrong)
    assert answer.status_code == 409
    key = (agent.folder / "identity" / "agent.pem").read_text().splitlines()[1]
    state = "\n".join(dump(world.state))
    for told in (answer.text, world.collector.log, state):
        assert secret not in told
        assert key not in told
    assert (world.collector.folder / "authority" / "ca.key").stat().st_mode & 0o777 == 0o600
