"""Where each part listens, and whether it can."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port


@dataclass(frozen=True, slots=True)
class Addresses:
    """HOST:PORT of each listener."""

    store: str
    otlp_grpc: str
    otlp_http: str
    api: str
    ui: str
    agents: str

    def each(self) -> dict[str, str]:
        return {
            "store": self.store,
            "OTLP/gRPC": self.otlp_grpc,
            "OTLP/HTTP": self.otlp_http,
            "API": self.api,
            "web UI": self.ui,
            "agents": self.agents,
        }


def on_loopback(offset: int = 0) -> Addresses:
    ports = (8123, 4317, 4318, 8440, 8050, 8441)
    return Addresses(*(f"127.0.0.1:{port + offset}" for port in ports))


def offset_of(store: str) -> int:
    """What was added to the usual ports, by the store's address."""
    try:
        return max(0, host_port(store)[1] - host_port(on_loopback().store)[1])
    except ConfigError:
        return 0


def require_free(addresses: Addresses) -> None:
    """Raises ConfigError, naming port and owner, if one of the addresses is taken."""
    for what, address in addresses.each().items():
        host, port = host_port(address)
        if reason := _refusal(host, port):
            raise ConfigError(f"port {port} ({what}) {reason}")


def _refusal(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as err:
            if err.errno != errno.EADDRINUSE:
                return f"on {host} cannot be used: {err.strerror}"
            return (
                f"is taken by {_owner(port)}: stop that program, or move NovaCron "
                "aside: novacron up --port-offset 100"
            )
    return None


def _owner(port: int) -> str:
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # it ended, or is not ours to look at
    return "another program"


def _listening_inodes(port: int) -> list[str]:
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else []:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.append(fields[9])
    return inodes
