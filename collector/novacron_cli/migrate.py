"""novacron migrate: bring both databases to this release's schema, and apply the retention."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from novacron_cli.command import Commands
from novacron_contract.settings import load, setting
from novacron_store.settings import RetentionSettings, StateSettings, TelemetrySettings

_SUMMARY = "bring the databases to this release's schema"
_EXAMPLES = """\
examples:
  novacron migrate --config /etc/novacron/collector.toml

Doing it twice is harmless. A schema newer than this release is refused."""


@dataclass(frozen=True, kw_only=True)
class CollectorTelemetry(TelemetrySettings):
    reader_password_file: Path | None = setting(None)  # no matter of ours


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The collector's file; the tables that are no matter of ours are taken as they are."""

    state: StateSettings
    telemetry: CollectorTelemetry = field(default_factory=CollectorTelemetry)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    listen: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)


def add_to(commands: Commands) -> None:
    parser = commands.add_parser(
        "migrate",
        help=_SUMMARY,
        description=_SUMMARY[0].upper() + _SUMMARY[1:] + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="the collector's settings")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    settings = load(args.config, Settings)
    print(f"state: schema {_state(settings.state.url)}")
    _telemetry(settings)
    print(f"telemetry: database {settings.telemetry.database} is up to date")
    return 0


# The databases' libraries take half a second to load: only this command waits for them.


def _state(url: str) -> str:
    from novacron_store.state import migrate, open_state

    engine = open_state(url)
    try:
        return migrate(engine)
    finally:
        engine.dispose()


def _telemetry(settings: Settings) -> None:
    from novacron_store.telemetry.client import connect
    from novacron_store.telemetry.migrations import migrate
    from novacron_store.telemetry.retention import Retention

    where, kept = settings.telemetry, settings.retention
    client = connect(where.url, user=where.user, password=where.password, database=where.database)
    try:
        migrate(client, Retention(kept.raw, kept.rollup_5m, kept.rollup_1h))
    finally:
        client.close()
