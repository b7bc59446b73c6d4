"""One `novacron up` at a time from a data folder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novacron_contract.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Claim:
    """`file` is locked as long as one runs; it tells its process and where to look."""

    file: Path

    @contextmanager
    def held(self, url: str) -> Iterator[None]:
        """
        Raises:
            ConfigError: another one holds it.
        """
        with self.file.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                other = self.holder() or {"pid": "?", "url": "?"}
                raise ConfigError(
                    f"NovaCron already runs from {self.file.parent} (process {other['pid']}), see "
                    f"{other['url']}; stop it by Ctrl-C there or by: novacron down"
                ) from err
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "url": url}))
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def holder(self) -> dict[str, Any] | None:
        """Process and URL of the `novacron up` that runs from this folder, if one does."""
        try:
            with self.file.open("r", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    text = file.read()
                    return dict(json.loads(text)) if text else None
        except FileNotFoundError:
            pass
        return None
