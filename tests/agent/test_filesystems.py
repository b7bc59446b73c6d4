"""Filesystems: which are measured, and that none holds up the rest."""

from __future__ import annotations

import os
import threading
import time

import pytest

from novacron_agent.host.filesystems import Filesystems, Mount, mounted, real
from novacron_agent.readings import Reading
from provider_contract import values

ROOT = Mount("/dev/vda1", "/", "ext4")


@pytest.mark.parametrize(
    "mount",
    [
        Mount("/dev/vdb", "/srv", "ext4"),
        Mount("nas:/vms", "/var/lib/libvirt/images", "nfs4"),
        Mount("tank/vms", "/tank", "zfs"),
        Mount("overlay", "/", "overlay"),
    ],
)
def test_a_filesystem_that_holds_data_is_measured(mount: Mount) -> None:
    assert real([mount]) == [mount]


@pytest.mark.parametrize(
    "mount",
    [
        Mount("tmpfs", "/run", "tmpfs"),
        Mount("proc", "/proc", "proc"),
        Mount("cgroup2", "/sys/fs/cgroup", "cgroup2"),
        Mount("overlay", "/var/lib/docker/overlay2/1/merged", "overlay"),
        Mount("/dev/loop3", "/snap/core/1", "squashfs"),
        Mount("/dev/sr0", "/media/cdrom", "iso9660"),
    ],
)
def test_a_filesystem_without_data_is_not(mount: Mount) -> None:
    assert real([mount]) == []


def test_a_device_counts_once_at_its_shortest_path() -> None:
    bind = Mount("/dev/vda1", "/var/chroot/etc", "ext4")
    assert real([bind, ROOT]) == [ROOT]


def test_a_path_counts_once_with_what_is_mounted_last() -> None:
    hidden, visible = Mount("/dev/vdb", "/srv", "ext4"), Mount("/dev/vdc", "/srv", "ext4")
    assert real([hidden, visible]) == [visible]


def test_the_root_of_this_machine_is_measured() -> None:
    reading = Reading({}, 0)
    Filesystems().read(reading)

    roots = {key[1]: value for key, value in values(reading, "system.filesystem.limit").items()}
    stat = os.statvfs("/")
    assert roots["/"] == stat.f_blocks * stat.f_frsize
    assert len(roots) == len(real(mounted()))


def test_a_mount_that_hangs_is_left_out_and_asked_again_when_it_answers() -> None:
    release = threading.Event()
    asked: list[str] = []

    def statvfs(path: str) -> os.statvfs_result:
        asked.append(path)
        if path == "/nfs":
            release.wait(10)
        return os.statvfs("/")

    filesystems = Filesystems(
        lambda: [ROOT, Mount("nas:/x", "/nfs", "nfs")], statvfs, patience_s=0.1
    )

    def measured() -> set[str | int | float]:
        reading = Reading({}, 0)
        filesystems.read(reading)
        return {key[1] for key in values(reading, "system.filesystem.limit")}

    started = time.monotonic()
    assert measured() == {"/"}
    assert measured() == {"/"}
    assert time.monotonic() - started < 2
    assert asked.count("/nfs") == 1  # no second thread gets stuck
    release.set()
    time.sleep(0.05)
    assert measured() == {"/", "/nfs"}


def test_a_mount_that_is_denied_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def statvfs(path: str) -> os.statvfs_result:
        if path == "/secret":
            raise PermissionError(13, "Permission denied")
        return os.statvfs(path)

    filesystems = Filesystems(lambda: [ROOT, Mount("/dev/vdb", "/secret", "ext4")], statvfs)
    for _ in range(3):
        reading = Reading({}, 0)
        filesystems.read(reading)
        assert {key[1] for key in values(reading, "system.filesystem.limit")} == {"/"}

    assert caplog.text.count("filesystem '/secret' is left out: Permission denied") == 1
