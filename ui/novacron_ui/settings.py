"""The settings of novacron-ui."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from novacron_contract.settings import read_secret, setting


@dataclass(frozen=True, kw_only=True)
class UiSettings:
    listen: str = setting("127.0.0.1:8050", doc="HOST:PORT of the web UI")
    allowed_hosts: tuple[str, ...] = setting(
        (), doc="further names a browser may use for this server, without the port"
    )


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    url: str = setting("http://127.0.0.1:8123", doc="the store's, or any ClickHouse's, HTTP URL")
    user: str = setting("service")
    password_file: Path | None = setting(None)
    database: str = setting("novacron")

    @property
    def password(self) -> str:
        return read_secret(self.password_file) if self.password_file else ""


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    url: str = setting(doc="SQLAlchemy URL of the state database")


@dataclass(frozen=True, kw_only=True)
class CollectorSettings:
    url: str = setting("http://127.0.0.1:8440", doc="the collector's REST API and live feed")


@dataclass(frozen=True, kw_only=True)
class Settings:
    state: StateSettings
    ui: UiSettings = field(default_factory=UiSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    collector: CollectorSettings = field(default_factory=CollectorSettings)
