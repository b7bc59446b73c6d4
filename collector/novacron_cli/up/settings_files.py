"""Settings files that are ours until somebody edits them: from then on they are theirs."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novacron_contract.errors import ConfigError

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SettingsFiles:
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.toml"

    def write(self, name: str, tables: Tables) -> None:
        """Unless somebody edited it."""
        path = self.path(name)
        if not path.exists() or self.is_ours(name):
            path.write_text(_render(tables), encoding="utf-8")

    def is_ours(self, name: str) -> bool:
        """Whether it is as we wrote it; where there is none, it is nobody's."""
        try:
            head, _, body = self.path(name).read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return False
        return f"({_digest(body)})" in head

    def edited(self, name: str) -> dict[str, Any]:
        """What somebody wrote there; nothing where it is ours.

        Raises:
            ConfigError: it is not TOML.
        """
        path = self.path(name)
        if not path.exists() or self.is_ours(name):
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as err:
            raise ConfigError(f"{path}: not valid TOML: {err}") from err

    def require(self, name: str, tables: Tables) -> None:
        """
        Raises:
            ConfigError: somebody edited it, and it does not say that.
        """
        if not self.path(name).exists() or self.is_ours(name):
            return
        found = self.edited(name)
        missing = [
            f"[{table}] {key} = {json.dumps(value)}"
            for table, values in tables.items()
            for key, value in values.items()
            if found.get(table, {}).get(key) != (list(value) if _is_list(value) else value)
        ]
        if missing:
            raise ConfigError(
                f"{self.path(name)}: somebody edited it, so it stays as it is: write "
                f"{', '.join(missing)} there, and run this again"
            )

    def state(self, names: Iterable[str]) -> str:
        """What they say now, in a few characters."""
        return _digest("".join(self.path(name).read_text(encoding="utf-8") for name in names))


def _is_list(value: object) -> bool:
    return isinstance(value, tuple)


def _render(tables: Tables) -> str:
    """TOML with a mark by which an edit shows; JSON's strings and booleans are TOML's as well."""
    lines = []
    for table, values in tables.items():
        lines.append(f"\n[{table}]")
        lines += (f"{key} = {json.dumps(value)}" for key, value in values.items())
    body = "\n".join(lines) + "\n"
    mark = f"# Written by `novacron up` ({_digest(body)}). Once edited, it stays as you left it."
    return f"{mark}\n{body}"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]
