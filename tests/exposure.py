"""Where a secret of a running NovaCron shows: files, and what any user of a machine sees of its
processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_EVERY_S = 0.05


@dataclass
class Processes:
    """What stood in arguments and environments of all processes while it was watched."""

    seen: set[bytes] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[Processes]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):  # it ended
                        self.seen.add((process / name).read_bytes())


def shown(secrets: Mapping[str, str], where: Mapping[str, bytes]) -> list[str]:
    """Which secret shows where."""
    return [
        f"{name} in {place}"
        for place, content in where.items()
        for name, secret in secrets.items()
        if secret.encode() in content
    ]


def files_of(*folders: Path, but: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """All but those of these names, which are where secrets belong."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not but & set(path.relative_to(folder).parts):
                found[str(path)] = path.read_bytes()
    return found
