"""Network namespaces: making them, wiring them, and ending exactly what runs in them.

A lab keeps no list of process ids. Whatever runs in its namespaces belongs to it and nothing else
does, so a stale file can never lead to a stranger's process.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from novacron_lab.commands import run
from novacron_lab.errors import LabError

PREFIX = "nclab-"  # of every namespace of every lab
_NAMED = Path("/run/netns")  # where `ip netns` keeps them


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str

    @property
    def path(self) -> Path:
        return _NAMED / self.name

    def exists(self) -> bool:
        """A file left behind by a reboot has the name but is no namespace."""
        try:
            return self.path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
        except FileNotFoundError:
            return False

    def create(self) -> None:
        try:
            run("ip", "netns", "add", self.name)
        except LabError as err:
            raise LabError(
                f"this machine does not let us make network namespaces ({err}); run the lab as "
                "root, outside an unprivileged container"
            ) from err
        self.ip("link", "set", "lo", "up")

    def is_wired(self) -> bool:
        """Bringing up the bridge is the last step of making a namespace."""
        return self.exists() and "br0" in self.ip("-brief", "link", "show", "up")

    def ip(self, *words: str) -> str:
        return self.run("ip", *words)  # `ip -n` itself fails in a chroot

    def run(self, *command: str, stdin: str = "") -> str:
        return run("nsenter", f"--net={self.path}", *command, stdin=stdin, timeout=10)

    def remove(self) -> None:
        """End everything in it, then the namespace with all its links."""
        if self.exists():
            self._end_processes(timeout=20)
        if self.path.exists():
            run("ip", "netns", "delete", self.name)

    def processes(self) -> list[int]:
        found = []
        for pid, handle in self._handles():
            os.close(handle)
            found.append(pid)
        return found

    def _end_processes(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while handles := [handle for _, handle in self._handles()]:
            if time.monotonic() > deadline:
                raise LabError(f"{len(handles)} processes in namespace {self.name} do not end")
            for handle in handles:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            for handle in handles:
                select.select([handle], [], [], 1)
                os.close(handle)

    def _handles(self) -> Iterator[tuple[int, int]]:
        """Each process here with an open pidfd, which stays the same process whatever happens."""
        here = _identity(self.path)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (handle := _open(entry, here)) is not None:
                yield int(entry.name), handle


def make_lan(lan: Namespace) -> None:
    lan.create()
    lan.ip("link", "add", "br0", "type", "bridge")
    lan.ip("link", "set", "br0", "up")


def make_member(member: Namespace, lan: Namespace, port: str, address: str) -> None:
    """A namespace with a bridge br0, whose uplink eth0 is plugged into the bridge of the LAN."""
    member.create()
    # A bridge without a MAC of its own takes its lowest port's: a guest that comes or goes could
    # change it, and neighbours would not find the host for seconds.
    member.ip("link", "add", "br0", "address", _mac(address), "type", "bridge")
    member.ip("addr", "add", f"{address}/24", "dev", "br0")
    member.ip("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", lan.name)
    member.ip("link", "set", "eth0", "master", "br0", "up")
    lan.ip("link", "set", port, "master", "br0", "up")
    member.ip("link", "set", "br0", "up")


def _mac(address: str) -> str:
    """A locally administered MAC of an IPv4 address."""
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])


@contextmanager
def alone() -> Iterator[None]:
    """Meanwhile no other lab of this machine makes or removes what labs share."""
    place = os.open(_NAMED.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def left() -> bool:
    """Whether any lab is still up. Without one, what the first `ip netns add` made goes, too."""
    names = [path.name for path in _NAMED.iterdir()] if _NAMED.exists() else []
    if not names:
        with suppress(LabError, OSError):  # no mount, or somebody is just adding a namespace
            run("umount", str(_NAMED))
            _NAMED.rmdir()
    return any(name.startswith(PREFIX) for name in names)


def _open(process: Path, namespace: tuple[int, int]) -> int | None:
    try:
        handle = os.pidfd_open(int(process.name))
    except OSError:  # it ended meanwhile
        return None
    with suppress(OSError):
        if _identity(process / "ns/net") == namespace:
            return handle
    os.close(handle)
    return None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
