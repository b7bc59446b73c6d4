"""The settings of novacron-collector: collector.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from novacron_collector.access.settings import AccessSettings
from novacron_collector.commands.settings import CommandSettings
from novacron_collector.forward.settings import ForwardSettings
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.tls.settings import EnrolmentSettings, TlsSettings
from novacron_contract.listening import is_loopback
from novacron_contract.settings import host_port, read_secret, setting
from novacron_otlp.settings import check_names
from novacron_store import settings as store


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings(store.TelemetrySettings):
    """`reader` is who POST /v1/sql runs as."""

    reader_password_file: Path | None = setting(None)

    @property
    def reader_password(self) -> str:
        return read_secret(self.reader_password_file) if self.reader_password_file else ""


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    """The table [listen]. Beyond this machine all of them speak TLS."""

    otlp_grpc: str = setting("127.0.0.1:4317", check=host_port)
    otlp_http: str = setting("127.0.0.1:4318", check=host_port)
    api: str = setting("127.0.0.1:8440", check=host_port)
    agents: str = setting("127.0.0.1:8441", check=host_port)


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """The table [limits]: what one sender, and all of them together, may ask of this process."""

    request: float = setting("16MiB", unit="By", minimum=1024, maximum=2**30)
    inflated: float = setting("64MiB", unit="By", minimum=1024, maximum=2**30)
    json: float = setting("16MiB", unit="By", minimum=1024, maximum=2**28)
    in_flight: float = setting("256MiB", unit="By", minimum=2**20)
    in_flight_requests: int = setting(1024, minimum=1, maximum=100_000)
    connections: int = setting(20_000, minimum=16, maximum=1_000_000)
    idle: float = setting("2m", unit="s", minimum=1, maximum=86400)
    receive_time: float = setting("30s", unit="s", minimum=1, maximum=600)
    stalled: float = setting("30s", unit="s", minimum=1, maximum=3600)
    send_time: float = setting("1h", unit="s", minimum=1, maximum=86400)
    commit_every: float = setting("20ms", unit="s", minimum=0, maximum=10)
    series: int = setting(2_000_000, minimum=1000)
    live_clients: int = setting(64, minimum=1, maximum=10_000)
    live_series: int = setting(200_000, minimum=1)
    points: PointLimits = field(default_factory=PointLimits)


@dataclass(frozen=True, kw_only=True)
class WalSettings:
    """The table [wal]: what was acknowledged and is not in the store yet."""

    path: Path
    size: float = setting("4GiB", unit="By", minimum=2**20)
    keep_free: float = setting("512MiB", unit="By", minimum=0)
    segment_points: int = setting(500_000, minimum=1, maximum=10_000_000)
    write_every: float = setting("1s", unit="s", minimum=0.01, maximum=60)
    remember: float = setting("48h", unit="s", minimum=0)
    dead_letters: float = setting("256MiB", unit="By", minimum=0)
    remember_requests: int = setting(8_000_000, minimum=0)


@dataclass(frozen=True, kw_only=True)
class OwnMetricsSettings:
    """The table [own_metrics]: what the collector reports of itself."""

    every: float = setting("10s", unit="s", minimum=0.1, maximum=3600)


@dataclass(frozen=True, kw_only=True)
class Settings:
    state: store.StateSettings
    wal: WalSettings
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    listen: ListenSettings = field(default_factory=ListenSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    commands: CommandSettings = field(default_factory=CommandSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    own_metrics: OwnMetricsSettings = field(default_factory=OwnMetricsSettings)
    retention: store.RetentionSettings = field(default_factory=store.RetentionSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    enrolment: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    forward: tuple[ForwardSettings, ...] = ()

    def __post_init__(self) -> None:
        check_names(self.forward, "forward")
        _ = self.lets_anonymous_in

    @property
    def lets_anonymous_in(self) -> bool:
        """
        Raises:
            ConfigError: it says so for more than this machine.
        """
        host, _ = host_port(self.listen.api)
        return self.access.lets_anonymous_in(on_loopback=is_loopback(host))

    @property
    def authority(self) -> Path:
        return self.enrolment.authority or self.wal.path.with_name("authority")

    @property
    def agents_address(self) -> str:
        """HOST:PORT that agents are told to connect to; "" where that is not known."""
        listener = self.listen.agents
        host, _ = host_port(listener)
        is_any = host in ("0.0.0.0", "::")
        return self.enrolment.address or ("" if is_any else listener)
