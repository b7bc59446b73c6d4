"""A guest's QEMU as the kernel sees it: what can be measured without asking it.

Every file read here is open to all users. Of a guest on another machine, or where /proc hides other
users' processes, there is none, and libvirt is asked in its place.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NS = 1e9
_LOOK_AGAIN = 30  # readings: what a guest's threads are
# Fields of /proc/PID/stat, counted from the one after the name.
_STATE, _USER, _SYSTEM, _STARTED, _RSS = 0, 11, 12, 19, 21
_STOPPED = frozenset("tT")  # by a signal, or by a debugger
_VCPU = re.compile(r"CPU (\d+)/")  # what QEMU calls the threads of virtual CPUs
_SCOPE = re.compile(r"^0::(/.*/machine-[^/]*\.scope|/.*/[^/]*\.libvirt-qemu)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Usage:
    """`vcpus`: of each, the seconds it ran, and the seconds it was ready to and did not."""

    cpu_s: float
    rss: int  # bytes
    is_stopped: bool
    vcpus: dict[int, tuple[float, float]]
    io: dict[str, int] | None  # bytes read and written on the host's devices


@dataclass(slots=True)
class Process:
    """`started` tells it from a later one with the same number, in the kernel's own time."""

    pid: int
    started: int
    proc: Path
    scope: Path | None
    _threads: dict[int, int] = field(default_factory=dict)
    _looked: int = 0

    @classmethod
    def of(cls, pid_file: Path, proc: Path = _PROC, cgroup: Path = _CGROUP) -> Process | None:
        """The QEMU that libvirt wrote this file for; None where there is none, or it is hidden."""
        try:
            pid = int(pid_file.read_text())
            started = int(_stat(proc / str(pid))[_STARTED])
        except (OSError, ValueError, IndexError):
            return None
        return cls(pid, started, proc / str(pid), _scope(proc / str(pid), cgroup))

    def usage(self) -> Usage | None:
        """None once it has ended."""
        try:
            stat = _stat(self.proc)
            if int(stat[_STARTED]) != self.started:
                return None
            return Usage(
                cpu_s=self._cpu_s(stat),
                rss=int(stat[_RSS]) * _PAGE,
                is_stopped=stat[_STATE] in _STOPPED,
                vcpus=self._vcpus(),
                io=self._io(),
            )
        except (OSError, ValueError, IndexError):
            return None

    def _cpu_s(self, stat: list[str]) -> float:
        """The control group's where there is one: it has the kernel's threads of vhost, too. It
        cannot be read any more when the process ends, and a counter must not change its source."""
        if self.scope is not None:
            return int((self.scope / "cpu.stat").read_text().split()[1]) / 1e6
        return (int(stat[_USER]) + int(stat[_SYSTEM])) / _TICKS

    def _vcpus(self) -> dict[int, tuple[float, float]]:
        """Threads are looked for again when one has ended, and in a while: CPUs may be added."""
        self._looked -= 1
        if not self._threads or self._looked <= 0:
            self._threads = _vcpu_threads(self.proc / "task")
            self._looked = _LOOK_AGAIN
        found = {}
        for number, thread in self._threads.items():
            try:
                ran, waited, _ = (self.proc / f"task/{thread}/schedstat").read_text().split()
            except (OSError, ValueError):
                self._threads = {}
                break
            found[number] = int(ran) / _NS, int(waited) / _NS
        return found

    def _io(self) -> dict[str, int] | None:
        if self.scope is None:
            return None
        try:
            text = (self.scope / "io.stat").read_text()
        except OSError:
            return None
        return {
            way: sum(int(n) for n in re.findall(rf"\b{key}=(\d+)", text))
            for way, key in (("read", "rbytes"), ("write", "wbytes"))
        }


def _stat(process: Path) -> list[str]:
    """The fields after the name, which may hold anything."""
    return (process / "stat").read_bytes().rpartition(b")")[2].decode("ascii").split()


def _vcpu_threads(tasks: Path) -> dict[int, int]:
    found = {}
    for task in os.listdir(tasks):
        with contextlib.suppress(OSError):
            name = (tasks / task / "comm").read_text(errors="replace")
            if match := _VCPU.match(name):
                found[int(match[1])] = int(task)
    return dict(sorted(found.items()))


def _scope(process: Path, cgroup: Path) -> Path | None:
    """The control group that libvirt made for the guest; None where it made none."""
    with contextlib.suppress(OSError):
        for line in (process / "cgroup").read_text().splitlines():
            if match := _SCOPE.match(line):
                scope = cgroup / match[1].lstrip("/")
                return scope if (scope / "cpu.stat").exists() else None
    return None
