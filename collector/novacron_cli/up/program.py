"""A program that is started, watched, and stopped together with all it started itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOG_LIMIT = 8 * 1024 * 1024
# The kernel ends what follows when we end (setpriv, util-linux). Where we ended before it was told,
# nothing begins.
_UNTIL_WE_END = ("setpriv", "--pdeathsig", "TERM", "--", "sh", "-c", 'test $PPID = $0 && exec "$@"')


@dataclass(frozen=True, slots=True)
class Program:
    """`is_ready` asks the running program; `patience` is how long it may take to say yes."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    patience: float = 60.0


@dataclass(slots=True)
class Child:
    """One run after the other of a program."""

    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0

    def start(self) -> None:
        """It ends when we end, even if we are killed."""
        self.started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*_UNTIL_WE_END, str(os.getpid()), *self.program.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for us alone
            )

    @property
    def ended(self) -> int | None:
        """The exit code of a program that ran and ended, as Popen gives it."""
        return self.process.poll() if self.process is not None else None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def stopped_within(self, grace: float) -> bool:
        """Wait for the end, then kill whatever is left. False if the program had to be killed."""
        if self.process is None:
            return True
        try:
            self.process.wait(grace)
            clean = True
        except subprocess.TimeoutExpired:
            clean = False
        self.kill_rest()
        self.process.wait()
        return clean

    def kill_rest(self) -> None:
        """End what the program left behind in its session."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def memory(self) -> int:
        """Bytes of memory of the program and all it started; shared pages are divided up."""
        return sum(_proportional(pid) for pid in self._group()) if self.process else 0

    def last_lines(self, count: int = 12) -> list[str]:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
                return log.read().decode(errors="replace").splitlines()[-count:]
        except FileNotFoundError:
            return []

    def trim_log(self) -> None:
        """Keep one older log: the program goes on writing to the same, emptied file."""
        if self.log.stat().st_size > _LOG_LIMIT:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def _group(self) -> list[int]:
        assert self.process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.process.pid:
                found.append(int(stat.parent.name))
        return found


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def how_it_ended(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
