"""novacron retention: how long what is kept, what there is of it, and how to change that."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from novacron_cli.collector_file import add_config, read
from novacron_cli.command import Commands, add_explained, add_family
from novacron_cli.output import plain, print_json, print_table
from novacron_contract.errors import ConfigError
from novacron_contract.units import duration, readable, seconds

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from novacron_store.telemetry.expiry import Partition

_SHOW = "how long what is kept, and what there is of it"
_SHOW_EXAMPLES = """\
examples:
  novacron retention show
  novacron retention show --json

raw is every sample; rollup_5m and rollup_1h are buckets of 5 minutes and of one hour."""
_SET = "keep something longer or shorter, from now on"
_SET_EXAMPLES = """\
examples:
  novacron retention set raw=14d                 every sample, 14 days
  novacron retention set rollup_5m=1y            buckets of 5 minutes, a year
  novacron retention set long=90d billing=2y     classes of metrics; a new name is a new class

It holds at once, without a restart, until collector.toml says something new. What has
expired by then is dropped; without --yes you are asked first. Times: s, m, h, d, w, y."""
_ASSIGN = "put metrics into a class, from now on"
_ASSIGN_EXAMPLES = """\
examples:
  novacron retention assign 'vm.cpu.*' long      * stands for any text
  novacron retention assign vm.cpu.time default

Where several fit, the one assigned last counts. Samples stored before stay in their class."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "retention", "how long telemetry is kept")
    shown = _command(family, "show", _SHOW, _SHOW_EXAMPLES)
    shown.add_argument("--json", action="store_true", help="the same as JSON")
    shown.set_defaults(run=_show)
    setter = _command(family, "set", _SET, _SET_EXAMPLES)
    setter.add_argument("kept", nargs="+", metavar="NAME=TIME", help="such as raw=14d")
    setter.add_argument("--yes", action="store_true", help="drop what has expired, do not ask")
    setter.set_defaults(run=_set)
    assigner = _command(family, "assign", _ASSIGN, _ASSIGN_EXAMPLES)
    assigner.add_argument("metric", metavar="METRIC", help="a name, or a part of one with *")
    assigner.add_argument("to", metavar="CLASS")
    assigner.set_defaults(run=_assign)


def _command(family: Commands, name: str, summary: str, examples: str) -> ArgumentParser:
    parser = add_explained(family, name, summary, examples)
    add_config(parser)
    return parser


def _show(args: Namespace) -> int:
    from novacron_store.telemetry.expiry import partitions
    from novacron_store.telemetry.retention import current

    with read(args.config).store() as client:
        retention, every = current(client), partitions(client)
    lines = [_Line(name, kept, every) for name, kept in retention.named.items()]
    if args.json:
        rules = [{"metric": pattern, "class": name} for pattern, name in retention.rules]
        print_json({"kept": [line.document() for line in lines], "rules": rules})
        return 0
    headings = ("WHAT", "KEPT", "OLDEST", "ON DISK")
    print_table(headings, [line.cells() for line in lines], right=("KEPT", "ON DISK"))
    for pattern, name in retention.rules:
        print(f"{plain(pattern)} is in the class {plain(name)}")
    return 0


class _Line:
    """What is kept under one name."""

    def __init__(self, name: str, kept: float, every: Iterable[Partition]) -> None:
        of = [one for one in every if one.name == name]
        self.name, self.kept = name, kept
        self.oldest = min((one.oldest for one in of), default=None)
        self.bytes = sum(one.bytes for one in of)

    def cells(self) -> Sequence[str]:
        oldest = "–" if self.oldest is None else f"{_utc(self.oldest):%Y-%m-%d %H:%M}"
        size = readable(self.bytes, "By") if self.bytes else "–"
        return self.name, duration(self.kept), oldest, size

    def document(self) -> dict[str, Any]:
        oldest = None if self.oldest is None else _utc(self.oldest).isoformat()
        return {"name": self.name, "kept_s": self.kept, "oldest": oldest, "bytes": self.bytes}


def _set(args: Namespace) -> int:
    from novacron_store.telemetry import expiry
    from novacron_store.telemetry.retention import apply, current

    with read(args.config).store() as client:
        retention = current(client)
        for text in args.kept:
            name, _, time = text.partition("=")
            retention = retention.keeping(name, _seconds(name, time))
        gone = expiry.expired(expiry.partitions(client), retention, datetime.now(UTC))
        if gone and not args.yes:
            _ask(gone)
        apply(client, retention)
        _drop(client, gone)
    for name, kept in retention.named.items():
        print(f"{name}: {duration(kept)}")
    return 0


def _assign(args: Namespace) -> int:
    from novacron_store.telemetry.retention import apply, current

    with read(args.config).store() as client:
        apply(client, current(client).assigning(args.metric, args.to))
    print(f"{args.metric} is in the class {args.to} from now on")
    return 0


def _seconds(name: str, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as err:
        raise ConfigError(f"{name}: {err}") from err


def _ask(gone: Sequence[Partition]) -> None:
    """
    Raises:
        ConfigError: it is not wanted, or there is nobody to ask.
    """
    what = _described(gone)
    if not sys.stdin.isatty():
        raise ConfigError(f"this drops {what}: say --yes if you want that")
    if input(f"This drops {what}. Do it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was changed")


def _described(gone: Sequence[Partition]) -> str:
    newest = _utc(max(one.newest for one in gone))
    size = readable(sum(one.bytes for one in gone), "By")
    return f"{size} of what is older than {newest:%Y-%m-%d %H:%M} UTC"


def _drop(client: Client, gone: Sequence[Partition]) -> None:
    from novacron_store.telemetry import expiry

    if gone:
        expiry.drop(client, gone)
        print(f"dropped {_described(gone)}")


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
