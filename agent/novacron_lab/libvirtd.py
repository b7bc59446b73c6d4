"""One libvirtd for each lab host, in its own namespaces; the machine's own is not touched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

import libvirt

from novacron_lab.commands import run
from novacron_lab.errors import LabError
from novacron_lab.layout import Host

_DAEMON = """\
listen_tls = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
_QEMU = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
namespaces = []
dynamic_ownership = 0
remember_owner = 0
"""
# libvirtd does not start without this account, so its hosts have one and the machine needs none.
_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin
"""
_GROUP = """\
root:x:0:
kvm:x:64054:
libvirt-qemu:x:64055:
"""
# Where start.sh mounts a host's own; machines without a libvirtd may lack these directories.
MOUNT_POINTS = (
    Path("/etc/libvirt"),
    Path("/var/cache/libvirt"),
    Path("/var/lib/libvirt"),
    Path("/var/log/libvirt"),
)


@contextmanager
def connection(host: Host) -> Iterator[libvirt.virConnect]:
    """Raises LabError for whatever libvirt has to say."""
    libvirt.registerErrorHandler(lambda *_: None, None)  # it prints each error otherwise
    try:
        conn = libvirt.open(host.uri)
        try:
            yield conn
        finally:
            conn.close()
    except libvirt.libvirtError as err:
        raise LabError(f"libvirt of {host.name}: {err}") from err


def answers(host: Host) -> bool:
    try:
        with connection(host) as conn:
            return bool(conn.isAlive())
    except LabError:
        return False


def pid(host: Host) -> int | None:
    """The running libvirtd: the file's word counts only for a process in the host's namespace."""
    try:
        written = int((host.directory / "run/libvirtd.pid").read_text())
    except (OSError, ValueError):
        return None
    return written if host.namespace.exists() and written in host.namespace.processes() else None


def start(host: Host, neighbours: tuple[Host, ...], cache: Path) -> None:
    """Start libvirtd and return once it answers.

    What libvirt finds out about QEMU in seconds of probing is kept in `cache`, for every host.

    Raises:
        LabError: it does not start; the message has its last words.
    """
    _write_files(host, neighbours)
    cache.mkdir(parents=True, exist_ok=True)
    log = host.directory / "log/start.log"
    script = resources.files("novacron_lab") / "host/start.sh"
    with resources.as_file(script) as path, log.open("wb") as out:
        command = [
            "nsenter", f"--net={host.namespace.path}",
            "unshare", "--mount", "--uts", "--propagation", "unchanged",
            "sh", str(path), str(host.directory), host.name, str(cache),
        ]  # fmt: skip
        status = subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env=_environment()
        )
    if status != 0 or not answers(host):
        raise LabError(f"libvirtd of {host.name} does not start: {_last_words(host)}")


def remove_mount_points() -> None:
    """Remove those that a lab had to make; while a lab is up, its mounts would go with them."""
    for path in filter(_is_empty, MOUNT_POINTS):
        try:
            run("dpkg-query", "--search", str(path))
        except LabError:  # no package's
            with suppress(OSError):
                path.rmdir()


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _write_files(host: Host, neighbours: tuple[Host, ...]) -> None:
    for name in ("etc", "lib", "log", "run"):
        (host.directory / name).mkdir(parents=True, exist_ok=True)
    names = "".join(f"{other.address} {other.name}\n" for other in neighbours)
    files = {
        "etc/libvirtd.conf": _DAEMON.format(uuid=host.uuid),
        "etc/qemu.conf": _QEMU,
        "passwd": _PASSWD,
        "group": _GROUP,
        "hosts": f"127.0.0.1 localhost\n{names}",
    }
    for name, content in files.items():
        (host.directory / name).write_text(content)


def _environment() -> dict[str, str]:
    return {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}


def _last_words(host: Host) -> str:
    words = [_tail(host.directory / "log" / name) for name in ("start.log", "libvirtd.log")]
    return " / ".join(filter(None, words)) or "it says nothing"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "; ".join(lines[-3:])
