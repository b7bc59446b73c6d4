"""novacron migrate: bring both databases to this release's schema, and apply the retention."""

from __future__ import annotations

from argparse import Namespace

from novacron_cli.collector_file import add_config, read
from novacron_cli.command import Commands, add_explained

_SUMMARY = "bring the databases to this release's schema"
_EXAMPLES = """\
examples:
  novacron migrate --config /etc/novacron/collector.toml

Doing it twice is harmless. A schema newer than this release is refused."""


def add_to(commands: Commands) -> None:
    parser = add_explained(commands, "migrate", _SUMMARY, _EXAMPLES)
    add_config(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    file = read(args.config)
    print(f"state: schema {_state(file.state.url)}")
    with file.store() as client:
        file.migrate(client)
    print(f"telemetry: database {file.telemetry.database} is up to date")
    return 0


def _state(url: str) -> str:
    # It takes half a second to load: only this command waits for it.
    from novacron_store.state import migrate, open_state

    engine = open_state(url)
    try:
        return migrate(engine)
    finally:
        engine.dispose()
