"""The settings of novacron-ui."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from novacron_contract.listening import loopback_address
from novacron_contract.settings import read_secret, setting
from novacron_store.settings import StateSettings, TelemetrySettings


@dataclass(frozen=True, kw_only=True)
class UiSettings:
    listen: str = setting("127.0.0.1:8050", check=loopback_address, doc="of the web UI")
    allowed_hosts: tuple[str, ...] = setting(
        (), doc="further names a browser may use for this server, without the port"
    )


@dataclass(frozen=True, kw_only=True)
class CollectorSettings:
    url: str = setting("http://127.0.0.1:8440", doc="the collector's REST API and live feed")
    token_file: Path | None = setting(
        None, doc="an API token of a viewer, where the collector lets nobody in without one"
    )

    @property
    def headers(self) -> dict[str, str]:
        """
        Raises:
            ConfigError: the token's file cannot be read.
        """
        if self.token_file is None:
            return {}
        return {"Authorization": f"Bearer {read_secret(self.token_file)}"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    state: StateSettings
    ui: UiSettings = field(default_factory=UiSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    collector: CollectorSettings = field(default_factory=CollectorSettings)
