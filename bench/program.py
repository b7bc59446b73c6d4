"""A server under measurement: a process, the CPU time and the memory it took."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_START_S, _STOP_S = 60, 60


@dataclass(frozen=True, slots=True)
class Program:
    pid: int

    def cpu_s(self) -> float:
        """User and system time of all its threads, those that ended too."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def cpu_ms(self) -> float:
        """Of its threads that live, finer than `cpu_s`, for what takes milliseconds."""
        stats = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in stats) / 1e6

    def peak_mb(self) -> float:
        """The most memory that was resident, in MB (10**6 bytes)."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        kib = next(line for line in lines if line.startswith("VmHWM:")).split()[1]
        return int(kib) * 1024 / 10**6


@contextmanager
def running(command: Sequence[str], ready: str, folder: Path) -> Iterator[Program]:
    """A process that works in `folder`, as soon as it answers at the URL `ready`.

    Raises:
        SystemExit: it does not start; with what it says.
    """
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("a") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
    try:
        _wait(ready, process, log)
        yield Program(process.pid)
    finally:
        if process.poll() is not None:  # nobody asked it to: whatever was measured, this is said
            end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            print(f"{log.stem} had ended ({process.returncode}), and said:\n{end}", file=sys.stderr)
        process.terminate()
        process.wait(_STOP_S)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"\nit did not start, and said:\n{log.read_text(encoding='utf-8')}")
