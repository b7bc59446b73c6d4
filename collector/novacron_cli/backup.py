"""novacron backup and restore: telemetry and state in a folder, and back from it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from novacron_cli.authority_copy import (
    copy_authority,
    require_none_other,
    restore_authority,
)
from novacron_cli.collector_file import CollectorFile, add_config, read
from novacron_cli.command import Commands, add_explained
from novacron_cli.output import plain
from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.units import readable

if TYPE_CHECKING:
    from novacron_store.telemetry.backup import TelemetryCopy

_BACKUP = "copy telemetry and state to a new folder, while everything runs"
_BACKUP_EXAMPLES = """\
examples:
  novacron backup /srv/backups/monday
  novacron backup /srv/backups/tuesday --base /srv/backups/monday    what is new since

Run it on the machine of novacron-store, as its user: the store itself writes the copy. What
was acknowledged in the last seconds may not be in it. A copy with a base needs that base. It
holds the key of the collector's authority: keep it where nobody else reads it."""
_RESTORE = "bring back what `novacron backup` copied, into empty databases"
_RESTORE_EXAMPLES = """\
examples:
  novacron up --restore /srv/backups/monday        where `novacron up` runs it all
  novacron restore /srv/backups/monday             where parts are started one by one

Stop the collector first; novacron-store must run. An older release's copy is brought to this
release's schema."""
_MANIFEST = "manifest.json"  # written last: without it a copy is not whole
_STATE = "state.jsonl"
_TELEMETRY = "telemetry"
_SPARE = 2**30


def add_to(commands: Commands) -> None:
    copier = _command(commands, "backup", _BACKUP, _BACKUP_EXAMPLES)
    copier.add_argument("--base", type=Path, metavar="FOLDER", help="an earlier copy to add to")
    copier.set_defaults(run=_backup)
    restorer = _command(commands, "restore", _RESTORE, _RESTORE_EXAMPLES)
    restorer.set_defaults(run=_restore)


def _command(commands: Commands, name: str, summary: str, examples: str) -> ArgumentParser:
    parser = add_explained(commands, name, summary, examples)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    add_config(parser)
    return parser


def _backup(args: Namespace) -> int:
    from novacron_store.telemetry.backup import copy
    from novacron_store.telemetry.usage import usage

    file, folder = read(args.config), args.folder.absolute()
    base = _based_on(args.base.absolute()) if args.base else None
    _require_local(file)
    with file.store() as client:
        stored = usage(client)
        _make(folder, 0 if base else stored.bytes)
        made = copy(client, folder / _TELEMETRY, base and base / _TELEMETRY, _shown("copied"))
    rows = _write_state(file, folder / _STATE)
    if file.authority is not None:
        copy_authority(file.authority, folder)
    _finish(folder, made)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    samples = readable(stored.samples, "")
    print(f"{folder}: {samples} samples and {rows} rows of state in {readable(size, 'By')}")
    return 0


def _restore(args: Namespace) -> int:
    restore_into(read(args.config), args.folder.absolute())
    return 0


def restore_into(file: CollectorFile, folder: Path) -> None:
    """
    Raises:
        ConfigError: no whole copy is there, or there is something in the databases.
        Unavailable: a database does not answer, or cannot read the folder.
    """
    from novacron_store.state import open_state
    from novacron_store.state.copy import load, require_empty
    from novacron_store.telemetry.backup import TelemetryCopy, restore

    manifest = _manifest(folder)
    told = manifest["telemetry"]
    try:
        rolled = {int(key): int(value) for key, value in told["rolled"].items()}
        made = TelemetryCopy(**{**told, "rolled": rolled})
    except (TypeError, ValueError, KeyError, AttributeError) as err:
        raise ConfigError(f"{folder}: its {_MANIFEST} is none of this program's") from err
    _require_local(file)
    if file.authority is not None:
        require_none_other(folder, file.authority)
    engine = open_state(file.state.url)
    try:
        require_empty(engine)
        with file.store() as client:
            restore(client, folder / _TELEMETRY, made, _shown("restored"))
            file.migrate(client)
        with (folder / _STATE).open(encoding="utf-8") as lines:
            rows = load(engine, lines)
    finally:
        engine.dispose()
    if file.authority is not None:
        restore_authority(folder, file.authority)
    print(f"telemetry and {rows} rows of state as of {plain(manifest['made'])} are back")


def _based_on(base: Path) -> Path:
    _manifest(base)
    return base


def _manifest(folder: Path) -> dict[str, Any]:
    """
    Raises:
        ConfigError: the folder holds no whole copy, or its base is gone.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        base = manifest["telemetry"]["base"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{folder}: is no whole backup: it has no readable {_MANIFEST}") from err
    if base is not None:
        _manifest(Path(base).parent)
    return manifest


def _require_local(file: CollectorFile) -> None:
    """
    Raises:
        ConfigError: the store is elsewhere, and would write its copy there.
    """
    if not is_loopback(urlsplit(file.telemetry.url).hostname or ""):
        raise ConfigError(
            f"{file.telemetry.url}: is not on this machine: run this on the store's machine, or "
            "use ClickHouse's own BACKUP there"
        )


def _make(folder: Path, size: int) -> None:
    """
    Raises:
        ConfigError: the folder is not new, cannot be made, or its disk has no room for `size`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder}: is not empty: a backup has a folder of its own")
        free = shutil.disk_usage(folder).free
    except OSError as err:
        raise ConfigError(f"{folder}: cannot be used: {err.strerror}") from err
    if free < size + _SPARE:
        need = readable(size + _SPARE, "By")
        raise ConfigError(f"{folder}: {readable(free, 'By')} are free there, {need} are needed")


def _write_state(file: CollectorFile, path: Path) -> int:
    from novacron_store.state import open_state
    from novacron_store.state.copy import dump

    engine, count = open_state(file.state.url), -1
    try:
        with open(path, "x", encoding="utf-8", opener=_for_its_owner) as out:
            for line in dump(engine):
                out.write(f"{line}\n")
                count += 1
    finally:
        engine.dispose()
    return count


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # it has hashes of passwords


def _finish(folder: Path, made: TelemetryCopy) -> None:
    manifest = {
        "novacron": version("novacron"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "telemetry": asdict(made),
    }
    os.sync()  # the store's files are on the disk before it says that they are
    part = folder / f"{_MANIFEST}.part"
    with part.open("x", encoding="utf-8") as out:
        out.write(json.dumps(manifest, indent=2) + "\n")
        out.flush()
        os.fsync(out.fileno())
    part.rename(folder / _MANIFEST)


def _shown(word: str) -> Any:
    """A line that is written over, on a terminal alone."""

    def show(done: int, size: int) -> None:
        if sys.stderr.isatty() and size:
            line = f"{word} {readable(done, 'By')} of {readable(size, 'By')}"
            print(f"\r\x1b[K{line}", end="" if done < size else "\n", file=sys.stderr, flush=True)

    return show
