"""What the lab needs of the machine, checked before anything is made."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from novacron_lab.errors import LabError

# Also in packaging/debian-packages/lab.txt, for those who install before there is a Python.
PACKAGES = (
    "busybox-static",
    "iproute2",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "qemu-system-x86",
    "qemu-utils",
)


def check(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raises LabError, saying what to do, if a lab cannot run here."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and runs libvirtd: run it as root")
    if platform.machine() != "x86_64":
        raise LabError(f"the lab's guests are amd64 machines; this one is {platform.machine()}")
    if missing := _missing(packages):
        raise LabError(
            "packages are missing; try: apt-get install --no-install-recommends "
            + " ".join(missing)
        )
    if _is_chroot_on_shared_mount():
        raise LabError(
            "this is a chroot on a shared mount, where the lab's own mounts would leak out; "
            "enter it by: unshare --mount --propagation private chroot DIRECTORY"
        )


def _missing(packages: tuple[str, ...]) -> list[str]:
    if shutil.which("dpkg-query") is None:
        raise LabError("the lab runs on Debian, from whose packages it takes kernel and tools")
    query = ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages)
    known = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    return [package for package in packages if f"{package} installed" not in known]


def _is_chroot_on_shared_mount() -> bool:
    """A chroot cannot make the mount it is on private; processes outside of it see it."""
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    facts = Path(f"/proc/self/fdinfo/{root}").read_text()
    os.close(root)
    number = re.search(r"mnt_id:\s*(\d+)", facts)
    if number is None or re.search(rf"^{number[1]} ", _mounts("self"), re.MULTILINE):
        return False
    shared = re.compile(rf"^{number[1]} .* shared:\d+", re.MULTILINE)
    processes = (entry for entry in os.listdir("/proc") if entry.isdigit())
    return any(shared.search(_mounts(process)) for process in processes)


def _mounts(process: str) -> str:
    try:
        return Path(f"/proc/{process}/mountinfo").read_text()
    except OSError:  # it ended, or is hidden from us
        return ""
