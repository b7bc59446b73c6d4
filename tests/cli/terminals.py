"""`novacron` on a terminal: somebody types when they read what they wait for."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("novacron"))
INTERRUPT = "^C"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Shown:
    """`raw` is what the terminal was sent."""

    code: int
    raw: bytes

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw.decode()).replace("\r", "\n")

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.split("\n") if line]


def on_terminal(
    url: str, *words: str, typed: Sequence[tuple[str, str]] = (), columns: int = 80
) -> Shown:
    """`typed`: what is waited for, and what is typed then; INTERRUPT is Ctrl-C."""
    env = {**os.environ, "NOVACRON_URL": url, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        env.pop(name, None)
    with _terminal(columns) as (leader, follower):
        with _program([PROGRAM, *words], env, follower) as process:
            os.close(follower)
            sent, waiting = b"", list(typed)
            for chunk in _chunks(leader):
                sent += chunk
                if waiting and waiting[0][0].encode() in sent:
                    _, answer = waiting.pop(0)
                    if answer == INTERRUPT:
                        process.send_signal(signal.SIGINT)
                    else:
                        os.write(leader, f"{answer}\n".encode())
        assert not waiting, f"never seen: {waiting[0][0]!r} in {sent!r}"
        return Shown(process.returncode, sent)


@contextmanager
def _program(
    command: Sequence[str], env: Mapping[str, str], terminal: int
) -> Iterator[subprocess.Popen[bytes]]:
    ends = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, env=env, **ends) as process:  # type: ignore[call-overload]
        try:
            yield process
        except BaseException:
            process.kill()  # or it is waited for
            raise


@contextmanager
def _terminal(columns: int) -> Iterator[tuple[int, int]]:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    try:
        yield leader, follower
    finally:
        os.close(leader)


def _chunks(leader: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(leader, 65536):
            yield chunk
    except OSError:  # Linux' way to say that the other end is closed
        return
