"""The file of an agent's status: written whole or not at all, by a thread that may hang."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import queue
import threading
from pathlib import Path

from novacron_agent.status.status import Status
from novacron_contract.errors import ConfigError, Unavailable
from novacron_contract.settings import parse

log = logging.getLogger(__name__)

_MODE = 0o640
_MAX_BYTES = 2**20


class StatusFile:
    """No tick waits for its disk: while it hangs, the status grows old, and that is all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.new")
        self._failing = False
        self._offered: queue.Queue[Status | None] = queue.Queue(2)  # one, and the end
        self._thread = threading.Thread(target=self._work, name="status", daemon=True)
        self._thread.start()

    def offer(self, status: Status) -> None:
        if self._offered.empty():
            self._offered.put_nowait(status)

    def close(self, grace_s: float) -> None:
        self._offered.put_nowait(None)
        self._thread.join(grace_s)

    def _work(self) -> None:
        while (status := self._offered.get()) is not None:
            try:
                self._write(as_json(status).encode())
            except OSError as err:
                if not self._failing:
                    log.warning("%s: the status cannot be written: %s", self._path, err.strerror)
                self._failing = True
            else:
                self._failing = False

    def _write(self, text: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._draft, flags, _MODE), "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(text)
        self._draft.replace(self._path)


def as_json(status: Status) -> str:
    """What is not known is left out."""
    return json.dumps(_known(dataclasses.asdict(status)), indent=2) + "\n"


def _known(value: object) -> object:
    if isinstance(value, dict):
        return {name: _known(one) for name, one in value.items() if one is not None}
    return [_known(one) for one in value] if isinstance(value, list | tuple) else value


def read_status(path: Path) -> Status:
    """
    Raises:
        Unavailable: there is none, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
        return parse(document if isinstance(document, dict) else {}, Status, where=str(path))
    except FileNotFoundError as err:
        why = "the agent does not run with these settings, or had no tick yet"
        raise Unavailable(f"{path}: there is no status: {why}") from err
    except OSError as err:
        raise Unavailable(f"{path}: cannot be read: {err.strerror}") from err
    except (ValueError, RecursionError, ConfigError) as err:
        raise Unavailable(f"{path}: holds no status: {err}") from err
