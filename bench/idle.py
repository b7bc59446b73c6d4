"""What 10,000 connections cost that send nothing: of the collector, and of servers with mTLS.

Run it as `make bench-idle`. Each connection has sent one request, as an agent between two scrapes,
and is kept open. The memory is the whole of the process, and an honest sender's requests are timed
meanwhile, each over a new connection. The collector's store is away: its log takes what comes.

The second part is an experiment that decides nothing yet: what a connection with a client
certificate costs in each ASGI server that could take the collector's place in front, all with the
same empty application. Those that NovaCron does not use are installed into a folder that is removed
afterwards. BENCH_CONNECTIONS takes another number, BENCH_MTLS=no leaves the experiment out.
"""

from __future__ import annotations

import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import psutil
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from report import report

_ADDRESSES = 16  # 127.0.0.2 and so on: each has ports of its own
_THREADS = 16
_REQUESTS = 200
_POST = "POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
_EMPTY = f"{_POST}Content-Length: 0\r\n\r\n".encode()
_SIGNED = ("-days", "2", "-copy_extensions", "copyall")
_OTHERS = ("hypercorn", "granian")


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: of the authority, and keys and certificates that it signed."""

    folder: Path

    def make(self) -> None:
        self._openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2")
        for name in ("server", "client"):
            self._sign(name)

    def _openssl(self, command: str) -> None:
        files = f"-keyout {self.folder}/ca.key -out {self.folder}/ca.pem -subj /CN=ca"
        _run(["openssl", *command.split(), *files.split()])

    def _sign(self, name: str) -> None:
        key, request, pem = (f"{self.folder}/{name}.{kind}" for kind in ("key", "csr", "pem"))
        new = f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name}"
        named = ["-addext", "subjectAltName=IP:127.0.0.1"]
        _run(["openssl", *new.split(), *named, "-keyout", key, "-out", request])
        authority = f"-CA {self.folder}/ca.pem -CAkey {self.folder}/ca.key -CAcreateserial"
        _run(["openssl", "x509", "-req", "-in", request, *authority.split(), *_SIGNED, "-out", pem])

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=f"{self.folder}/ca.pem")
        context.check_hostname = False
        context.load_cert_chain(f"{self.folder}/client.pem", f"{self.folder}/client.key")
        return context


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")


# -- connections -------------------------------------------------------------------------------


def opened(port: int, count: int, tls: ssl.SSLContext | None, stack: ExitStack) -> None:
    """Open connections that have had one answer each."""

    def one(number: int) -> socket.socket:
        source = (f"127.0.0.{2 + number % _ADDRESSES}", 0)
        sock = socket.create_connection(("127.0.0.1", port), timeout=120, source_address=source)
        if tls is not None:
            sock = tls.wrap_socket(sock)
        sock.sendall(_EMPTY)
        answer = sock.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"connection {number} was answered {answer[:80]!r}")
        return sock

    with ThreadPoolExecutor(_THREADS) as pool:
        for sock in pool.map(one, range(count)):
            stack.enter_context(sock)


def latencies_ms(port: int) -> list[float]:
    """Of an honest sender's requests, with their connections."""
    found = []
    for _ in range(_REQUESTS):
        data = MetricsData()
        gauge = data.resource_metrics.add().scope_metrics.add().metrics.add(name="bench").gauge
        gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=1)
        began = time.perf_counter()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/metrics",
            data.SerializeToString(),
            {"Content-Type": "application/x-protobuf"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
        found.append((time.perf_counter() - began) * 1000)
    return found


# -- processes ---------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[psutil.Process]:
    """A server, from when it listens on `port`."""
    log = folder / "log"
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=said, stderr=said)
    try:
        _wait(port, process, log)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"it does not listen, and said:\n{log.read_text()}")


def rss_mb(process: psutil.Process) -> float:
    """With its children, in MB (10**6 bytes)."""
    every = [process, *process.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in every)) / 10**6


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


# -- what is measured --------------------------------------------------------------------------


def collector(count: int, folder: Path) -> dict[str, float]:
    grpc, http, api, agents = (free_port() for _ in range(4))
    config = folder / "collector.toml"
    config.write_text(
        f'[telemetry]\nurl = "http://127.0.0.1:{free_port()}"\n'
        f'[state]\nurl = "sqlite:///{folder}/state.db"\n[wal]\npath = "{folder}/wal"\n'
        f'[listen]\notlp_grpc = "127.0.0.1:{grpc}"\notlp_http = "127.0.0.1:{http}"\n'
        f'agents = "127.0.0.1:{agents}"\n'
        f'api = "127.0.0.1:{api}"\n[limits]\nidle = "1h"\n'
    )
    program = str(Path(sys.executable).with_name("novacron-collector"))
    with running([program, "--config", str(config)], http, folder) as process, ExitStack() as stack:
        alone, before = latencies_ms(http), rss_mb(process)
        opened(http, count, None, stack)
        among, after = latencies_ms(http), rss_mb(process)
    return {
        "idle_0_rss_mb": before,
        "idle_10k_rss_mb": after,
        "idle_kb_per_connection": (after - before) * 1000 / count,
        "idle_0_post_p50_ms": median(alone),
        "idle_10k_post_p50_ms": median(among),
        "idle_10k_post_p99_ms": quantiles(among, n=100)[-1],
    }


def with_mtls(server: str, command: list[str], count: int, certificates: Certificates) -> float:
    """The memory of a server that holds `count` connections with client certificates."""
    port = free_port()
    arguments = [argument.format(port=port, tls=certificates.folder) for argument in command]
    with (
        running(arguments, port, certificates.folder) as process,
        ExitStack() as stack,
    ):
        print(f"\r{server:<40}", end="", flush=True)
        opened(port, count, certificates.client(), stack)
        return rss_mb(process)


def servers(venv: Path) -> dict[str, list[str]]:
    """Commands by the name of the figure; of what cannot be installed there is none."""
    tls = (
        "--ssl-certfile {tls}/server.pem --ssl-keyfile {tls}/server.key --ssl-ca-certs {tls}/ca.pem"
    )
    uvicorn = f"-m uvicorn idle_app:app --port {{port}} --http httptools {tls} --ssl-cert-reqs 2"
    uvicorn += " --no-access-log --timeout-keep-alive 3600 --log-level warning"
    found = {
        f"uvicorn_{loop}": [sys.executable, *f"{uvicorn} --loop {loop}".split()]
        for loop in ("asyncio", "uvloop")
    }
    commands = {
        "hypercorn": "--bind 127.0.0.1:{port} --certfile {tls}/server.pem --verify-mode"
        " CERT_REQUIRED --keyfile {tls}/server.key --ca-certs {tls}/ca.pem --keep-alive 3600"
        " idle_app:app",
        "granian": "--interface asgi --host 127.0.0.1 --port {port} --no-access-log"
        " --backlog 16384 --backpressure 16384 --ssl-certificate {tls}/server.pem"
        " --ssl-keyfile {tls}/server.key --ssl-ca {tls}/ca.pem --ssl-client-verify idle_app:app",
    }
    for name in _installed(venv):
        found[name] = [str(venv / "bin" / name), *commands[name].split()]
    return found


def _installed(venv: Path) -> list[str]:
    _run([sys.executable, "-m", "venv", str(venv)])
    found = []
    for name in _OTHERS:
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--only-binary", ":all:", name]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name} is not tried: {done.stderr.strip().splitlines()[-1]}")
        else:
            found.append(name)
    return found


def main() -> int:
    count = int(os.environ.get("BENCH_CONNECTIONS", "10000"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + 1000:
        raise SystemExit(f"this process may open {hard} files only: raise `ulimit -n`")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = collector(count, folder)
        if os.environ.get("BENCH_MTLS") != "no":
            certificates = Certificates(folder)
            certificates.make()
            for server, command in servers(folder / "venv").items():
                try:
                    mb = with_mtls(server, command, count, certificates)
                except OSError as err:
                    print(f"\r{server} holds no {count} connections: {err}")
                else:
                    figures[f"idle_10k_mtls_{server}_rss_mb"] = mb
    report("idle", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
