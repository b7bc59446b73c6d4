"""The databases of a collector, found by its settings file: whoever may read that file, and the
secrets it names, may change what they hold."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novacron_contract.settings import load, setting
from novacron_store.settings import RetentionSettings, StateSettings, TelemetrySettings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from sqlalchemy import Engine

    from novacron_store.telemetry.retention import Retention

MACHINES = Path("/var/lib/novacron")  # root's data folder
INSTALLED = Path("/etc/novacron/collector.toml")


@dataclass(frozen=True, kw_only=True)
class CollectorTelemetry(TelemetrySettings):
    reader_password_file: Path | None = setting(None)  # no matter of ours


@dataclass(frozen=True, kw_only=True)
class CollectorFile:
    """The tables that are no matter of ours are taken as they are."""

    state: StateSettings
    telemetry: CollectorTelemetry = field(default_factory=CollectorTelemetry)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    wal: dict[str, Any] = field(default_factory=dict)
    listen: dict[str, Any] = field(default_factory=dict)
    access: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] = field(default_factory=dict)
    enrolment: dict[str, Any] = field(default_factory=dict)
    own_metrics: dict[str, Any] = field(default_factory=dict)
    forward: tuple[Any, ...] = ()

    @property
    def authority(self) -> Path | None:
        """The folder of the collector's authority, as the collector itself finds it."""
        if named := self.enrolment.get("authority"):
            return Path(str(named))
        log = self.wal.get("path")
        return Path(str(log)).with_name("authority") if log else None

    @contextmanager
    def store(self) -> Iterator[Client]:
        """The telemetry store, as the collector has it.

        Raises:
            Unavailable: it does not answer.
            Refused: the password is wrong.
        """
        # It takes half a second to load: only the command that needs it waits for it.
        from novacron_store.telemetry.client import connect

        of = self.telemetry
        client = connect(of.url, user=of.user, password=of.password, database=of.database)
        try:
            yield client
        finally:
            client.close()

    def migrate(self, client: Client) -> None:
        """Bring the telemetry store to this release's schema, with the retention of the file.

        Raises:
            ConfigError: its schema is newer than this release.
            Unavailable: it does not answer.
        """
        from novacron_store.telemetry.migrations import migrate

        migrate(client, applied(self.retention))


def applied(kept: RetentionSettings) -> Retention:
    """What a migrated database gets of it."""
    from novacron_store.telemetry.retention import Retention

    return Retention(kept.raw, kept.rollup_5m, kept.rollup_1h)


def default_path() -> Path:
    """The data folder of `novacron up`."""
    if chosen := os.environ.get("NOVACRON_DATA"):
        return Path(chosen)
    if os.geteuid() == 0:
        return MACHINES
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "novacron"


def default_config() -> Path:
    """The settings file of the machine's collector."""
    ours = default_path() / "config" / "collector.toml"
    return INSTALLED if INSTALLED.exists() or not ours.exists() else ours


@contextmanager
def state(path: Path) -> Iterator[Engine]:
    """The state database of the collector whose settings these are.

    Raises:
        ConfigError: the settings cannot be read, or the schema is not this release's.
        Unavailable: the database does not answer.
    """
    # It takes half a second to load: only the command that needs it waits for it.
    from novacron_store.state import open_state, require_current

    engine = open_state(read(path).state.url)
    try:
        require_current(engine)
        yield engine
    finally:
        engine.dispose()


def add_config(parser: ArgumentParser) -> None:
    """--config, with the file of the machine's collector as default."""
    parser.add_argument(
        "--config",
        type=Path,
        default=default_config(),
        help="the collector's settings (%(default)s)",
    )


def read(path: Path) -> CollectorFile:
    """
    Raises:
        ConfigError: it cannot be read, or says something that is not allowed.
    """
    return load(path, CollectorFile)
