"""A smartctl of tests, the helper that runs it, and a socket as systemd holds it."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smartctl_documents import ASLEEP, ATA, NVME, SAS, SCAN

ME = pwd.getpwuid(os.getuid()).pw_name
Listening = Callable[[Callable[[socket.socket], object]], Path]


@dataclass
class Disks:
    """A smartctl that prints a file for each disk, and a log of how it was called."""

    folder: Path
    answers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def on_path(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
        """The smartctl that is found first."""
        programs = folder / "bin"
        programs.mkdir()
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return cls(programs)

    def __post_init__(self) -> None:
        for name, document in (("sda", ATA), ("nvme0", NVME), ("0", SAS), ("sdb", ASLEEP)):
            self.says(name, f"cat {self.file(name, json.dumps(document))}; exit 4")
        self.says("--scan-open", f"cat {self.file('scan', json.dumps(SCAN))}")

    def file(self, name: str, text: str) -> str:
        path = self.folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        return shlex.quote(str(path))

    def says(self, last: str, command: str) -> None:
        self.answers[last] = command
        cases = "\n".join(f"{name}) {command};;" for name, command in self.answers.items())
        script = f"""#!/bin/sh
echo "$*" >>{shlex.quote(str(self.folder / "calls"))}
for last; do :; done
case "${{last##*/}}" in
{cases}
esac
"""
        program = self.folder / "smartctl"
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()


@contextmanager
def listening_in(folder: Path) -> Iterator[Listening]:
    """Does with each connection what it is told, as systemd does with `Accept=yes`."""
    listener = socket.socket(socket.AF_UNIX)
    path = folder / "smart.sock"
    listener.bind(str(path))
    listener.listen(4)

    def serve(answer: Callable[[socket.socket], object]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    answer(connection)
                except OSError:
                    continue  # who asked is gone

    def start(answer: Callable[[socket.socket], object]) -> Path:
        threading.Thread(target=serve, args=(answer,), daemon=True).start()
        return path

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def helper(connection: socket.socket, user: str = ME) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "novacron_agent.host.smart_helper", "--user", user),
        stdin=connection.fileno(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )


def disk(report: Mapping[str, Any]) -> dict[str, Any]:
    device = report["device"]
    return {"name": device["name"], "type": device["type"], "report": report}
