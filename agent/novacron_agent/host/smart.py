"""Disks' SMART health, from the root helper novacron-smart, where somebody enabled it."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novacron_agent.host.smart_report import add_disks
from novacron_agent.readings import Reading

SOCKET = Path("/run/novacron-smart.sock")
_PATIENCE_S = 90.0  # the helper takes no more than 60 for all disks
_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Smart:
    path: Path = SOCKET
    patience_s: float = _PATIENCE_S

    def read(self, reading: Reading) -> None:
        """Nothing where there is no helper.

        Raises:
            OSError: it does not answer, or not as it should.
        """
        try:
            answer = self._ask()
        except FileNotFoundError:
            return
        if not answer:
            raise OSError(f"{self.path}: no answer: the helper's journal says why")
        said = _parsed(answer)
        add_disks(reading, said.get("disks"))
        if said.get("error"):
            raise OSError(f"{self.path}: {str(said['error'])[:200]}")

    def _ask(self) -> bytes:
        end = time.monotonic() + self.patience_s
        data = bytearray()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(self.patience_s)
            connection.connect(str(self.path))
            while more := connection.recv(65536):
                data += more
                if len(data) > _BYTES:
                    raise OSError(f"{self.path}: the answer is too long")
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{self.path}: the answer takes too long")
                connection.settimeout(left)
        return bytes(data)


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError) as err:
        raise OSError("the answer is not JSON") from err
    if not isinstance(said, dict) or said.get("version") != 1:
        raise OSError("the answer is of another version")
    return said
