"""Where everything of a lab is and what it is called, all of it derived from its directory.

The same directory on the same machine gives the same names and UUIDs, so a lab that was taken down
and set up again is the same hosts and guests to whoever watches them.
"""

from __future__ import annotations

import hashlib
import platform
import uuid
from dataclasses import dataclass
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_lab.namespaces import PREFIX, Namespace

_LONGEST_SOCKET = 107  # what a unix socket's address holds
_NETWORK = "10.99.0"


@dataclass(frozen=True, slots=True)
class Layout:
    directory: Path

    @property
    def prefix(self) -> str:
        return f"{PREFIX}{hashlib.sha256(str(self.directory).encode()).hexdigest()[:4]}"

    @property
    def lan(self) -> Namespace:
        return Namespace(f"{self.prefix}-lan")

    @property
    def marker(self) -> Path:
        """The file that tells a lab's directory from one that must not be touched."""
        return self.directory / "THIS-IS-A-LAB"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    def host(self, name: str, number: int) -> Host:
        return Host(
            name=name,
            uuid=self.uuid(name),
            address=f"{_NETWORK}.{number}",
            directory=self.directory / name,
            namespace=Namespace(f"{self.prefix}-{name}"),
        )

    def address(self, guest: int) -> str:
        return f"{_NETWORK}.{11 + guest}"

    def uuid(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"lab:{_machine()}:{self.directory}:{name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    name: str
    uuid: str
    address: str
    directory: Path
    namespace: Namespace

    @property
    def socket(self) -> Path:
        return self.directory / "run/libvirt/libvirt-sock"

    @property
    def uri(self) -> str:
        """For anybody on this machine: a unix socket is reached from every network namespace."""
        return f"qemu+unix:///system?socket={self.socket}"


def layout(directory: Path) -> Layout:
    """The layout for a directory, which need not exist.

    Raises:
        ConfigError: a lab cannot live in that directory.
    """
    resolved = directory.resolve()
    found = Layout(resolved)
    longest = len(str(found.host("lab-host-x", 1).socket))
    if longest > _LONGEST_SOCKET:
        room = _LONGEST_SOCKET - longest + len(str(resolved))
        raise ConfigError(f"{resolved}: too long for unix sockets in it: {room} letters at most")
    if resolved.is_relative_to("/run"):
        raise ConfigError(f"{resolved}: a lab host has a /run of its own; take another place")
    return found


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip() or platform.node()
    except OSError:
        return platform.node()
