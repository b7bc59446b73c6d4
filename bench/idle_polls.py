"""Memory of a collector that holds a poll of each of many agents, with mTLS and without."""

from __future__ import annotations

import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from sqlalchemy import insert

from idle import free_port, rss_mb, running
from novacron_agent.enrolment.request import new_request
from novacron_collector.tls.authority import open_authority
from novacron_store.state import migrate, open_state
from novacron_store.state.enrolment_changes import next_change
from novacron_store.state.tables.enrolment import agent_certificates, agent_identities

_ADDRESSES = 16  # 127.0.0.2 and so on: each has ports of its own
_THREADS = 8
_WEEK = timedelta(days=7)
_WAIT_S = 60  # the longest that a collector holds a poll
_QUIET_S = 3.0
_PLAIN = Path(__file__).with_name("plain_collector.py")


@dataclass(frozen=True, slots=True)
class Known:
    """An agent, and the file with its certificate and key; None: it shows none."""

    id: str
    shown: Path | None = None


@dataclass(frozen=True)
class World:
    folder: Path
    agents: str

    @property
    def state_url(self) -> str:
        return f"sqlite:///{self.folder}/state.db"

    @property
    def authority(self) -> Path:
        return self.folder / "authority"

    def configure(self) -> Path:
        grpc, http, api = (free_port() for _ in range(3))
        config = self.folder / "collector.toml"
        config.write_text(
            f'[telemetry]\nurl = "http://127.0.0.1:{free_port()}"\n'
            f'[state]\nurl = "{self.state_url}"\n[wal]\npath = "{self.folder}/wal"\n'
            f'[listen]\notlp_grpc = "127.0.0.1:{grpc}"\notlp_http = "127.0.0.1:{http}"\n'
            f'api = "127.0.0.1:{api}"\nagents = "{self.agents}"\n[limits]\nidle = "1h"\n'
        )
        return config

    def enrol(self, count: int, *, certified: bool) -> list[Known]:
        """As if so many had joined. They share a key, which nobody but their file tells."""
        state, authority = open_state(self.state_url), open_authority(self.authority)
        migrate(state)
        now, known, serials = datetime.now(UTC), list[Known](), list[str]()
        request = new_request(str(uuid4()))
        for _ in range(count):
            agent = str(uuid4())
            serial, shown = f"{UUID(agent).int:x}", None
            if certified:
                signed = authority.sign_agent(request.csr, agent, now, _WEEK)
                serial, shown = signed.serial, self.folder / f"{agent}.pem"
                shown.write_bytes(request.key + signed.pem.encode())
            known.append(Known(agent, shown))
            serials.append(serial)
        with state.begin() as connection:
            number = next_change(connection)
            rows = [_identity(one.id, now, number) for one in known]
            connection.execute(insert(agent_identities), rows)
            pairs = zip(serials, known, strict=True)
            certificates = [_certificate(serial, one.id, now, number) for serial, one in pairs]
            connection.execute(insert(agent_certificates), certificates)
        state.dispose()
        return known


def _identity(agent: str, now: datetime, number: int) -> dict[str, object]:
    texts = {"name": "bench", "version": "0", "reason": "", "joined_by": "", "joined_from": ""}
    return {
        **texts,
        "agent_id": agent,
        "host_id": agent,
        "standing": "active",
        "joined": now,
        "ended": None,
        "instance": agent,
        "instances_before": [],
        "change": number,
    }


def _certificate(serial: str, agent: str, now: datetime, number: int) -> dict[str, object]:
    times = {"issued": now, "used": now, "ends": now + _WEEK}
    return {**times, "serial": serial, "agent_id": agent, "change": number}


def idle_polls(folder: Path, count: int, *, mtls: bool) -> tuple[float, float]:
    """A collector's memory in MB, before and while it holds so many polls."""
    folder.mkdir()
    world = World(folder, f"127.0.0.1:{free_port()}")
    config, agents = world.configure(), world.enrol(count, certified=mtls)
    program = [str(Path(sys.executable).with_name("novacron-collector"))]
    command = [*(program if mtls else [sys.executable, str(_PLAIN)]), "--config", str(config)]
    port = int(world.agents.rpartition(":")[2])
    with running(command, port, folder) as process, ExitStack() as ends:
        before = rss_mb(process)
        ca = world.authority / "ca.pem"
        connect = _over_tls(ca, port) if mtls else _plainly(port)
        with ThreadPoolExecutor(_THREADS) as pool:
            numbered = list(enumerate(agents))
            sockets = list(pool.map(lambda one: _polled(connect, *one), numbered))
        for sock in sockets:
            ends.enter_context(sock)
        return before, _held(process, sockets, agents)


def _held(process: psutil.Process, sockets: Sequence[socket.socket], agents: list[Known]) -> float:
    """All of them wait when the collector has nothing to do, and none is answered by then."""
    began = time.monotonic()
    for sock, agent in zip(sockets, agents, strict=True):
        sock.sendall(_request(agent, _WAIT_S))
    while process.cpu_percent(1.0) > 20:
        pass
    time.sleep(_QUIET_S)
    found = rss_mb(process)
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    answered = len(poll.poll(0))
    if answered or time.monotonic() - began > _WAIT_S:
        raise SystemExit(f"{answered} polls were answered, and {len(sockets)} were to be held")
    return found


Connect = Callable[[int, Known], socket.socket]


def _plainly(port: int) -> Connect:
    def connect(number: int, _agent: Known) -> socket.socket:
        source = (f"127.0.0.{2 + number % _ADDRESSES}", 0)
        return socket.create_connection(("127.0.0.1", port), timeout=120, source_address=source)

    return connect


def _over_tls(authority: Path, port: int) -> Connect:
    plainly = _plainly(port)

    def connect(number: int, agent: Known) -> socket.socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority)
        assert agent.shown is not None
        context.load_cert_chain(agent.shown)
        return context.wrap_socket(plainly(number, agent), server_hostname="127.0.0.1")

    return connect


def _polled(connect: Connect, number: int, agent: Known) -> socket.socket:
    """Connected, and answered once."""
    sock = connect(number, agent)
    sock.sendall(_request(agent, 0))
    answer = sock.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"agent {number} was answered {answer[:300]!r}")
    while b'"cancelled":[]' not in answer:
        answer += sock.recv(65536)
    return sock


def _request(agent: Known, wait_s: int) -> bytes:
    path = f"/v1/agents/self/commands?wait={wait_s}&max=5&instance={agent.id}"
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nx-agent: {agent.id}\r\n\r\n".encode()
