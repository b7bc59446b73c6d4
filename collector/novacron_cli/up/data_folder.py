"""The data folder: configuration, secrets, databases and logs of `novacron up`.

config/*.toml    written here; a file that somebody edited stays as it is
client.toml      where the `novacron` command finds the API
secrets/         the store's passwords, for the owner's eyes only
store/           telemetry        state.db    everything else
wal/             what was acknowledged and is not in the store yet
authority/       the collector's own, by which its agents are known
log/             one file per part
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from novacron_cli.client_file import ClientFile
from novacron_cli.collector_file import MACHINES
from novacron_cli.up.addresses import Addresses, offset_of
from novacron_cli.up.choices import Choices, SetupFile
from novacron_cli.up.claim import Claim
from novacron_cli.up.settings_files import SettingsFiles
from novacron_contract.errors import ConfigError
from novacron_contract.settings import load

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
        return self._files.path(name)

    @property
    def _files(self) -> SettingsFiles:
        return SettingsFiles(self.path / "config")

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
            tables = self._files.edited(name)
            for field, (table, key) in keys.items():
                if isinstance(value := tables.get(table, {}).get(key), str):
                    found[field] = value
        return replace(default, **found)

    def choices(self) -> Choices:
        """What `novacron setup` was told.

        Raises:
            ConfigError: the file was edited, and says something that is not allowed.
        """
        path = self.config("setup")
        return load(path, SetupFile).setup if path.exists() else Choices()

    @property
    def was_set_up(self) -> bool:
        return self.config("setup").exists()

    def keep_choices(self, choices: Choices) -> None:
        """
        Raises:
            ConfigError: somebody edited the file, and it says something else.
        """
        self._files.require("setup", {"setup": choices.tables()})
        self._files.write("setup", {"setup": choices.tables()})

    def require_follows(self, choices: Choices, addresses: Addresses) -> None:
        """
        Raises:
            ConfigError: somebody edited collector.toml, and it says something else.
        """
        self._files.require("collector", self._collector(addresses, choices))

    def port_offset(self) -> int:
        """The one that the last `novacron up` had."""
        try:
            tables = tomllib.loads(self.config("store").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        return offset_of(str(tables.get("store", {}).get("listen", "")))

    def client(self, addresses: Addresses) -> ClientFile:
        """How programs on this machine ask the API."""
        choices = self.choices()
        url = choices.api_url(addresses)
        if url.startswith("http:"):
            return ClientFile(url)
        return ClientFile(url, choices.ca_file if choices.brings_certificate else self.ca_file)

    @property
    def is_the_machines(self) -> bool:
        """Where root's `novacron up` has it, when nobody says anything else."""
        return os.geteuid() == 0 and self.path == MACHINES

    @property
    def has_state(self) -> bool:
        """Whether its collector's database may hold something already."""
        is_edited = bool(self._files.edited("collector"))
        return is_edited or (self.path / "state.db").exists()

    @property
    def needs_restart(self) -> bool:
        """Whether what runs began with other settings."""
        if self.claim.holder() is None:
            return False
        try:
            return self._started.read_text(encoding="ascii") != self._settings()
        except OSError:
            return True

    def note_start(self) -> None:
        """What is written in the settings now is what runs."""
        self._started.write_text(self._settings(), encoding="ascii")

    @property
    def _started(self) -> Path:
        return self.path / "up.settings"

    def _settings(self) -> str:
        return self._files.state(("store", "collector", "ui"))

    @property
    def ca_file(self) -> Path:
        """The certificate of the collector's own authority."""
        return self.authority / "ca.pem"

    @property
    def ui_token(self) -> Path:
        """By which the web UI asks an API that lets nobody in without one."""
        return self.path / "secrets" / "ui-token"

    def write_configuration(self, addresses: Addresses) -> None:
        """The files of store, collector and UI, and where the command line finds the API."""
        client = self.client(addresses)
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
        self._files.write("store", {"store": store})
        both = {**telemetry, "reader_password_file": str(self._secret("reader"))}
        wal = {"path": str(self.path / "wal")}
        own = {"telemetry": both, "state": state, "wal": wal}
        self._files.write("collector", {**own, **self._collector(addresses, self.choices())})
        self._files.write(
            "ui",
            {
                "ui": {"listen": addresses.ui},
                "telemetry": telemetry,
                "state": state,
                "collector": self._of_ui(client),
            },
        )
        client.write(self.path)

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
        self._files.write(name, tables)

    @staticmethod
    def _collector(addresses: Addresses, choices: Choices) -> dict[str, dict[str, Any]]:
        listen = {
            name: getattr(addresses, name) for name in ("otlp_grpc", "otlp_http", "api", "agents")
        }
        return {"listen": listen, **choices.for_collector(addresses)}

    def _of_ui(self, client: ClientFile) -> dict[str, str]:
        found = {"url": client.url}
        if client.url.startswith("https:"):
            found["token_file"] = str(self.ui_token)
        if client.ca_file is not None:
            found["ca_file"] = str(client.ca_file)
        return found

    @property
    def claim(self) -> Claim:
        """Of the `novacron up` that runs from here."""
        return Claim(self.path / "up.lock")

    def _secret(self, principal: str) -> Path:
        return self.path / "secrets" / f"{principal}-password"

    def _make_secret(self, principal: str) -> None:
        try:
            handle = os.open(self._secret(principal), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
