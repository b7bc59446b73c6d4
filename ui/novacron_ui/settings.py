"""The settings of novacron-ui."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.settings import host_port, http_url, setting
from novacron_store.settings import StateSettings, TelemetrySettings


@dataclass(frozen=True, kw_only=True)
class UiSettings:
    listen: str = setting("127.0.0.1:8050", check=host_port, doc="of the web UI")
    allowed_hosts: tuple[str, ...] = setting(
        (), doc="further names a browser may use for this server, without the port"
    )

    @property
    def on_loopback(self) -> bool:
        return is_loopback(host_port(self.listen)[0])

    @property
    def everybody_logs_in(self) -> bool:
        """Whoever comes through a proxy comes from loopback, too: further names tell of one."""
        return not self.on_loopback or bool(self.allowed_hosts)


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """The certificate, with its chain, that browsers are shown."""

    cert_file: Path | None = setting(None)
    key_file: Path | None = setting(None)

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("tls: cert_file and key_file: one needs the other")


@dataclass(frozen=True, kw_only=True)
class CollectorSettings:
    url: str = setting(
        "http://127.0.0.1:8440", check=http_url, doc="the collector's REST API and live feed"
    )
    token_file: Path | None = setting(
        None, doc="an API token of a viewer, for the live feed, where nobody may read anonymously"
    )
    ca_file: Path | None = setting(None, doc="trusted in place of the system's authorities")

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ConfigError(
                f"url: {self.url} reaches beyond this machine, so passwords would cross the "
                "network unencrypted: use https://, with ca_file"
            )


@dataclass(frozen=True, kw_only=True)
class Settings:
    state: StateSettings
    ui: UiSettings = field(default_factory=UiSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    collector: CollectorSettings = field(default_factory=CollectorSettings)

    def __post_init__(self) -> None:
        if not self.ui.on_loopback and self.tls.cert_file is None:
            raise ConfigError(
                f"ui: listen: {self.ui.listen} reaches beyond this machine, so passwords would "
                "cross the network unencrypted: set cert_file and key_file under [tls], or listen "
                "on 127.0.0.1"
            )
