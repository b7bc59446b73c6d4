"""A program that talks to somebody at a terminal."""

from __future__ import annotations

import os
import pty
from collections.abc import Sequence


def typed(command: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Answer each prompt when it is there; the exit code, and all that was shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], list(command))
    shown = b""
    try:
        for prompt, answer in answers:
            while not shown.endswith(prompt.encode()):
                shown += os.read(terminal, 1000)
            os.write(terminal, f"{answer}\n".encode())
        while more := os.read(terminal, 1000):
            shown += more
    except OSError:  # the other end was closed
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()
