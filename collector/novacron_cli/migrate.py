"""novacron migrate: bring both databases to this release's schema, and apply the retention; or
print the statements for a telemetry database instead."""

from __future__ import annotations

from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

from novacron_cli.collector_file import CollectorTelemetry, applied, default_config, read
from novacron_cli.command import Commands, add_explained
from novacron_contract.errors import ConfigError
from novacron_store.settings import RetentionSettings

_SUMMARY = "bring the databases to this release's schema"
_EXAMPLES = """\
examples:
  novacron migrate --config /etc/novacron/collector.toml
  novacron migrate --print                         SQL for an empty ClickHouse database
  novacron migrate --print --cluster production    the same for a cluster; parse-checked only

Doing it twice is harmless. A schema newer than this release is refused. --print asks no
database and needs no settings; with --config it takes database and retention from there."""
_HEADER = """\
-- NovaCron {version}: the telemetry database, made in one go where there is none yet.
-- Afterwards `novacron migrate`, with the same database and [retention], finds nothing to do.
"""
_CLUSTER_HEADER = """\
-- For the cluster {cluster}, with the macros {{shard}} and {{replica}} on each of its servers.
-- ClickHouse's parser took these statements. They HAVE NOT RUN on a cluster: see
-- docs/clickhouse.md before you run them.
"""


def add_to(commands: Commands) -> None:
    parser = add_explained(commands, "migrate", _SUMMARY, _EXAMPLES)
    default = default_config()
    parser.add_argument("--config", type=Path, help=f"the collector's settings ({default})")
    parser.add_argument(
        "--print", action="store_true", dest="printed", help="print SQL, and change nothing"
    )
    parser.add_argument(
        "--cluster", metavar="NAME", help="with --print: for this cluster, not for one server"
    )
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    if args.printed:
        return _print(args.config, args.cluster)
    if args.cluster is not None:
        raise ConfigError("--cluster: with --print alone; what it prints is run by hand")
    file = read(args.config or default_config())
    print(f"state: schema {_state(file.state.url)}")
    with file.store() as client:
        file.migrate(client)
    print(f"telemetry: database {file.telemetry.database} is up to date")
    return 0


def _print(config: Path | None, cluster: str | None) -> int:
    from novacron_store.telemetry.place import Place
    from novacron_store.telemetry.script import statements

    telemetry, kept = CollectorTelemetry(), RetentionSettings()
    if config:
        file = read(config)
        telemetry, kept = file.telemetry, file.retention
    if cluster == "":
        raise ConfigError("--cluster: a name is missing")
    place = Place(telemetry.database, cluster or "")
    header = _HEADER.format(version=version("novacron"))
    if cluster:
        header += _CLUSTER_HEADER.format(cluster=cluster)
    print(header)
    print("\n\n".join(f"{statement};" for statement in statements(place, applied(kept))))
    return 0


def _state(url: str) -> str:
    # It takes half a second to load: only this command waits for it.
    from novacron_store.state import migrate, open_state

    engine = open_state(url)
    try:
        return migrate(engine)
    finally:
        engine.dispose()
