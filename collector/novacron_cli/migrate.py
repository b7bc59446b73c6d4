"""novacron migrate: bring both databases to this release's schema, and apply the retention."""

from __future__ import annotations

from argparse import Namespace, RawDescriptionHelpFormatter

from novacron_cli.collector_file import CollectorFile, add_config, read
from novacron_cli.command import Commands

_SUMMARY = "bring the databases to this release's schema"
_EXAMPLES = """\
examples:
  novacron migrate --config /etc/novacron/collector.toml

Doing it twice is harmless. A schema newer than this release is refused."""


def add_to(commands: Commands) -> None:
    parser = commands.add_parser(
        "migrate",
        help=_SUMMARY,
        description=_SUMMARY[0].upper() + _SUMMARY[1:] + ".",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    file = read(args.config)
    print(f"state: schema {_state(file.state.url)}")
    _telemetry(file)
    print(f"telemetry: database {file.telemetry.database} is up to date")
    return 0


# The databases' libraries take half a second to load: only this command waits for them.


def _state(url: str) -> str:
    from novacron_store.state import migrate, open_state

    engine = open_state(url)
    try:
        return migrate(engine)
    finally:
        engine.dispose()


def _telemetry(file: CollectorFile) -> None:
    from novacron_store.telemetry.migrations import migrate
    from novacron_store.telemetry.retention import Retention

    kept = file.retention
    with file.store() as client:
        migrate(client, Retention(kept.raw, kept.rollup_5m, kept.rollup_1h))
