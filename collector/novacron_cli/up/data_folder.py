"""The data folder: configuration, secrets, databases and logs of `novacron up`.

config/*.toml    written here; a file that somebody edited stays as it is
secrets/         the store's passwords, for the owner's eyes only
store/           telemetry        state.db    everything else
wal/             what was acknowledged and is not in the store yet
authority/       the collector's own, by which its agents are known
log/             one file per part
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from novacron_cli.up.addresses import Addresses
from novacron_contract.errors import ConfigError

Tables = Mapping[str, Mapping[str, Any]]

_LISTENERS = {  # where an edited file says it listens
    "store": {"store": ("store", "listen")},
    "collector": {
        "otlp_grpc": ("listen", "otlp_grpc"),
        "otlp_http": ("listen", "otlp_http"),
        "api": ("listen", "api"),
        "agents": ("listen", "agents"),
    },
    "ui": {"ui": ("ui", "listen")},
}


@dataclass(frozen=True, slots=True)
class DataFolder:
    path: Path

    @property
    def log(self) -> Path:
        return self.path / "log"

    def config(self, name: str) -> Path:
        return self.path / "config" / f"{name}.toml"

    def agent_id(self, name: str) -> Path:
        return self.path / "agents" / f"{name}-id"

    def identity(self, name: str) -> Path:
        """What the agent gets when it joins."""
        return self.path / "agents" / f"{name}-identity"

    @property
    def authority(self) -> Path:
        return self.path / "authority"

    def prepare(self) -> None:
        """Raises ConfigError if the folder cannot be used."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in ("config", "secrets", "log", "agents"):
                (self.path / folder).mkdir(mode=0o700, exist_ok=True)
            for principal in ("service", "reader"):
                self._make_secret(principal)
        except OSError as err:
            raise ConfigError(
                f"{self.path}: cannot be used: {err.strerror}; choose another one by --data"
            ) from err

    def addresses(self, default: Addresses) -> Addresses:
        """`default`, except where an edited file says otherwise."""
        found: dict[str, str] = {}
        for name, keys in _LISTENERS.items():
            tables = self._edited_tables(name)
            for field, (table, key) in keys.items():
                if isinstance(value := tables.get(table, {}).get(key), str):
                    found[field] = value
        return replace(default, **found)

    def write_configuration(self, addresses: Addresses) -> None:
        """The files of store, collector and UI."""
        telemetry = {
            "url": f"http://{addresses.store}",
            "user": "service",
            "password_file": str(self._secret("service")),
        }
        state = {"url": f"sqlite:///{self.path / 'state.db'}"}
        store = {
            "path": str(self.path / "store"),
            "listen": addresses.store,
            "service_password_file": str(self._secret("service")),
            "reader_password_file": str(self._secret("reader")),
        }
        listen = {
            "otlp_grpc": addresses.otlp_grpc,
            "otlp_http": addresses.otlp_http,
            "api": addresses.api,
            "agents": addresses.agents,
        }
        self._write("store", {"store": store})
        both = {**telemetry, "reader_password_file": str(self._secret("reader"))}
        wal = {"path": str(self.path / "wal")}
        self._write("collector", {"telemetry": both, "state": state, "wal": wal, "listen": listen})
        self._write(
            "ui",
            {
                "ui": {"listen": addresses.ui},
                "telemetry": telemetry,
                "state": state,
                "collector": {"url": f"http://{addresses.api}"},
            },
        )

    def write_agent(self, name: str, *, host: bool, libvirt: str | None) -> None:
        """It sends to the collector that it joins, and to no other."""
        agent = {
            "id_file": str(self.agent_id(name)),
            "identity": str(self.identity(name)),
            "spool": str(self.agent_id(name).with_name(f"{name}-spool")),
        }
        tables: dict[str, Mapping[str, Any]] = {"agent": agent, "host": {"enabled": host}}
        if libvirt is not None:
            tables["provider"] = {"name": "kvm", "uri": libvirt}
        self._write(name, tables)

    @contextmanager
    def claimed(self, url: str) -> Iterator[None]:
        """Hold the folder for this process: one `novacron up` at a time.

        Raises:
            ConfigError: another one holds it.
        """
        with self._lock_file.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                other = self.holder() or {"pid": "?", "url": "?"}
                raise ConfigError(
                    f"NovaCron already runs from {self.path} (process {other['pid']}), see "
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
            with self._lock_file.open("r", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    text = file.read()
                    return dict(json.loads(text)) if text else None
        except FileNotFoundError:
            pass
        return None

    @property
    def _lock_file(self) -> Path:
        return self.path / "up.lock"

    def _secret(self, principal: str) -> Path:
        return self.path / "secrets" / f"{principal}-password"

    def _make_secret(self, principal: str) -> None:
        try:
            handle = os.open(self._secret(principal), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")

    def _edited_tables(self, name: str) -> dict[str, Any]:
        path = self.config(name)
        if not path.exists() or _is_ours(path.read_text(encoding="utf-8")):
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as err:
            raise ConfigError(f"{path}: not valid TOML: {err}") from err

    def _write(self, name: str, tables: Tables) -> None:
        path = self.config(name)
        if not path.exists() or _is_ours(path.read_text(encoding="utf-8")):
            path.write_text(_render(tables), encoding="utf-8")


def _render(tables: Tables) -> str:
    """TOML with a mark by which an edit shows; JSON's strings and booleans are TOML's as well."""
    lines = []
    for table, values in tables.items():
        lines.append(f"\n[{table}]")
        lines += (f"{key} = {json.dumps(value)}" for key, value in values.items())
    body = "\n".join(lines) + "\n"
    mark = f"# Written by `novacron up` ({_digest(body)}). Once edited, it stays as you left it."
    return f"{mark}\n{body}"


def _is_ours(text: str) -> bool:
    head, _, body = text.partition("\n")
    return f"({_digest(body)})" in head


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]
