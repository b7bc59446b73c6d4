"""The settings of novacron-collector: collector.toml."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from novacron_collector.otlp.limits import PointLimits
from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port, load, read_secret, setting


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    """The table [telemetry]: where ClickHouse is. `reader` is who POST /v1/sql runs as."""

    url: str = setting("http://127.0.0.1:8123")
    user: str = setting("service")
    password_file: Path | None = setting(None)
    reader_password_file: Path | None = setting(None)
    database: str = setting("novacron")

    @property
    def password(self) -> str:
        return read_secret(self.password_file) if self.password_file else ""

    @property
    def reader_password(self) -> str:
        return read_secret(self.reader_password_file) if self.reader_password_file else ""


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    url: str = setting()


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    otlp_grpc: str = setting("127.0.0.1:4317")
    otlp_http: str = setting("127.0.0.1:4318")
    api: str = setting("127.0.0.1:8440")


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """The table [limits]: what one sender, and all of them together, may ask of this process."""

    request: float = setting("16MiB", unit="By", minimum=1024, maximum=2**30)
    inflated: float = setting("64MiB", unit="By", minimum=1024, maximum=2**30)
    json: float = setting("16MiB", unit="By", minimum=1024, maximum=2**28)
    in_flight: float = setting("256MiB", unit="By", minimum=2**20)
    in_flight_requests: int = setting(1024, minimum=1, maximum=100_000)
    receive_time: float = setting("30s", unit="s", minimum=1, maximum=600)
    commit_every: float = setting("100ms", unit="s", minimum=0, maximum=10)
    series: int = setting(2_000_000, minimum=1000)
    live_clients: int = setting(64, minimum=1, maximum=10_000)
    live_series: int = setting(200_000, minimum=1)
    points: PointLimits = field(default_factory=PointLimits)


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    raw: float = setting("7d", unit="s", minimum=1)
    rollup_5m: float = setting("90d", unit="s", minimum=1)
    rollup_1h: float = setting("730d", unit="s", minimum=1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    state: StateSettings
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    listen: ListenSettings = field(default_factory=ListenSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)


def read_settings(path: Path) -> Settings:
    """
    Raises:
        ConfigError: the file cannot be read, or says what is not allowed.
    """
    settings = load(path, Settings)
    for problem in _problems(settings):
        raise ConfigError(f"{path}: {problem}")
    return settings


def _problems(settings: Settings) -> Iterator[str]:
    for name in (f.name for f in fields(ListenSettings)):
        try:
            host, _ = host_port(getattr(settings.listen, name))
        except ConfigError as err:
            yield f"listen: {name}: {err}"
            continue
        if not _is_loopback(host):
            yield (
                f"listen: {name}: {host} is not a loopback address; there is no TLS yet, "
                "so the collector listens on 127.0.0.1 or [::1] alone"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
