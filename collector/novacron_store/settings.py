"""Tables of every component's settings: where the databases are, and how long they keep what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from novacron_contract.settings import read_secret, setting


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    """The table [telemetry]: where ClickHouse is."""

    url: str = setting("http://127.0.0.1:8123", doc="novacron-store's, or any ClickHouse's, URL")
    user: str = setting("service")
    password_file: Path | None = setting(None)
    database: str = setting("novacron")

    @property
    def password(self) -> str:
        return read_secret(self.password_file) if self.password_file else ""


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """The table [state]."""

    url: str = setting(doc="SQLAlchemy URL of the state database")


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """The table [retention]: how long each resolution is kept."""

    raw: float = setting("7d", unit="s", minimum=1)
    rollup_5m: float = setting("90d", unit="s", minimum=1)
    rollup_1h: float = setting("730d", unit="s", minimum=1)
