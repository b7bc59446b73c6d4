"""Filesystems: each once, and none that hangs or is forbidden holds up the rest."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import psutil

from novacron_agent.readings import Reading

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0  # for all mounts together, in one scrape
_NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "9p"))
_SHARED = frozenset(("virtiofs", "fuse.glusterfs", "fuse.sshfs"))
_POOLED = frozenset(("zfs", "btrfs"))
_IMAGES = frozenset(("squashfs", "iso9660", "udf", "erofs"))  # read-only, always full


@dataclass(frozen=True, slots=True)
class Mount:
    device: str
    mountpoint: str
    fstype: str


def mounted() -> list[Mount]:
    parts = psutil.disk_partitions(all=True)
    return [Mount(part.device, part.mountpoint, part.fstype) for part in parts]


@dataclass
class Filesystems:
    """Asks every mount in a thread of its own. One that did not answer is left alone until it has:
    there is never more than one stuck thread per mount."""

    mounts: Callable[[], Iterable[Mount]] = mounted
    statvfs: Callable[[str], os.statvfs_result] = os.statvfs
    patience_s: float = _PATIENCE_S
    _stuck: dict[str, threading.Thread] = field(default_factory=dict)
    _denied: set[str] = field(default_factory=set)

    def read(self, reading: Reading) -> None:
        wanted = real(self.mounts())
        answers = self._ask([mount.mountpoint for mount in wanted])
        for mount in wanted:
            if mount.mountpoint in answers:
                _add(reading, mount, answers[mount.mountpoint])

    def _ask(self, mountpoints: list[str]) -> dict[str, os.statvfs_result]:
        answers: dict[str, os.statvfs_result] = {}
        asked: dict[str, threading.Thread] = {}
        for point in mountpoints:
            if point in self._stuck and self._stuck[point].is_alive():
                continue
            self._stuck.pop(point, None)
            asked[point] = threading.Thread(
                target=self._stat, args=(point, answers), daemon=True, name=f"statvfs {point}"
            )
            asked[point].start()
        deadline = time.monotonic() + self.patience_s
        for point, thread in asked.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("filesystem %r does not answer: left out until it does", point)
                self._stuck[point] = thread
        return dict(answers)

    def _stat(self, point: str, answers: dict[str, os.statvfs_result]) -> None:
        try:
            answers[point] = self.statvfs(point)
        except OSError as err:
            if point not in self._denied:
                self._denied.add(point)
                log.warning("filesystem %r is left out: %s", point, err.strerror)


def real(mounts: Iterable[Mount]) -> list[Mount]:
    """Filesystems that hold data: each device once (at its shortest path), each path once.

    A later mount hides an earlier one at the same path.
    """
    at_path = {mount.mountpoint: mount for mount in mounts}
    chosen: dict[tuple[str, str], Mount] = {}
    for mount in sorted(at_path.values(), key=lambda m: (len(m.mountpoint), m.mountpoint)):
        if _holds_data(mount):
            chosen.setdefault((mount.device, mount.fstype), mount)
    return list(chosen.values())


def _holds_data(mount: Mount) -> bool:
    if mount.mountpoint == "/":
        return True  # whatever it is made of: a container's overlay too
    if mount.fstype in _IMAGES:
        return False
    return mount.device.startswith("/") or mount.fstype in _NETWORK | _SHARED | _POOLED


def _add(reading: Reading, mount: Mount, stat: os.statvfs_result) -> None:
    if stat.f_blocks == 0:
        return
    attributes = {
        "system.device": mount.device,
        "system.filesystem.mountpoint": mount.mountpoint,
        "system.filesystem.type": mount.fstype,
    }
    used = max(0, stat.f_blocks - stat.f_bfree)
    states = {"used": used, "free": stat.f_bavail, "reserved": stat.f_bfree - stat.f_bavail}
    for state, blocks in states.items():
        where = {**attributes, "system.filesystem.state": state}
        reading.add("system.filesystem.usage", max(0, blocks) * stat.f_frsize, where)
    reading.add("system.filesystem.limit", stat.f_blocks * stat.f_frsize, attributes)
    usable = used + stat.f_bavail  # as df does: what is reserved for root counts as neither
    reading.add("system.filesystem.utilization", used / usable if usable else 1.0, attributes)
