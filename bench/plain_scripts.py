"""Scripts beside which commands are measured: processes that begin when they are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_SOON_S = 120.0


@contextmanager
def scripts(name: str, arguments: Sequence[Sequence[str]]) -> Iterator[Callable[[], None]]:
    """One of the program `name` for each of the arguments, and ready. What is yielded lets them all
    begin, and returns when they have ended."""
    program, pipe = str(Path(__file__).with_name(name)), subprocess.PIPE
    with ExitStack() as ends:
        every = [
            ends.enter_context(
                subprocess.Popen(
                    [sys.executable, program, *one], stdin=pipe, stdout=pipe, text=True
                )
            )
            for one in arguments
        ]
        for script in every:
            assert script.stdout is not None
            assert script.stdout.readline() == "ready\n"

        def run() -> None:
            for script in every:
                assert script.stdin is not None
                script.stdin.write("go\n")
                script.stdin.flush()
            for script in every:
                if script.wait(_SOON_S) != 0:
                    raise SystemExit("the script failed")

        yield run
