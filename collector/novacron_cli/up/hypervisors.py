"""Which hypervisors there are to watch: this machine's own libvirt, or else the lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novacron_contract.errors import Unavailable

LIBVIRT_URI = "qemu:///system"
LAB_DIRECTORY = Path("/var/lib/novacron-lab")

_PROBE = "import libvirt, sys; libvirt.openReadOnly(sys.argv[1]).getHostname()"


def libvirt_answers(uri: str, timeout: float = 5.0) -> bool:
    """Ask from another process: a hung libvirtd hangs whoever asks."""
    try:
        done = subprocess.run(
            (sys.executable, "-c", _PROBE, uri), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@dataclass(frozen=True, slots=True)
class LabHost:
    name: str
    uri: str


@dataclass(frozen=True, slots=True)
class Lab:
    """The lab, through its own command line: it runs as root, and we may not."""

    directory: Path

    def hosts(self) -> list[LabHost]:
        """The lab's hosts that are up."""
        status = self._status()
        return [LabHost(h["name"], h["uri"]) for h in status.get("hosts", []) if h["alive"]]

    def guests(self) -> list[str]:
        return [guest["name"] for guest in self._status().get("guests", [])]

    def exists(self) -> bool:
        return self.directory.exists()

    def up(self, say: Callable[[str], None]) -> None:
        """Raises Unavailable, saying why, if the machine cannot run the lab."""
        self._tell(("up",), say)

    def down(self, say: Callable[[str], None]) -> None:
        self._tell(("down",), say)

    def _tell(self, command: tuple[str, ...], say: Callable[[str], None]) -> None:
        last = ""
        with subprocess.Popen(
            self._command(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if last:
                    say(last)
                last = line.rstrip()
        if process.returncode != 0:
            raise Unavailable(last.removeprefix("novacron-lab: "))
        if last:
            say(last)

    def _status(self) -> dict[str, Any]:
        if not self.exists():
            return {}
        done = subprocess.run(
            self._command("status", "--json"), capture_output=True, text=True, check=False
        )
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def _command(self, *words: str) -> list[str]:
        sudo = ["sudo", "-n", "--"] if os.geteuid() != 0 and shutil.which("sudo") else []
        lab = [sys.executable, "-m", "novacron_lab.cli", *words, "--dir", str(self.directory)]
        return sudo + lab
