"""Whether this user may read and write what the agent will; nothing is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from novacron_agent.delivery.destination import Destination
from novacron_agent.finding import Finding, fail, ok, warn
from novacron_agent.identity import persistent_id
from novacron_agent.settings import Settings
from novacron_contract.errors import ConfigError


def check_permissions(settings: Settings, path: Path) -> list[Finding]:
    found = [*_as_root(settings), *_identity(settings.agent.id_file), *_spool(settings)]
    if any(there.headers or "@" in (there.proxy or "") for there in settings.destinations):
        found += _secret("settings with headers or a proxy's password", path)
    for there in settings.destinations:
        found += _files_of(there)
    return found


def _as_root(settings: Settings) -> Iterator[Finding]:
    """root may write everywhere, which says nothing about the user of the service."""
    folder = _nearest(settings.agent.id_file.parent)
    owner = folder.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        why = f"asked as root, and {folder} belongs to the user {_user(owner)}"
        yield warn("permissions", why, f"ask as that user: sudo -u {_user(owner)}")


def _identity(path: Path) -> Iterator[Finding]:
    what = f"id file {path}"
    if not path.exists():
        yield _folder(what, path.parent)
        return
    try:
        yield ok(what, f"this is agent {persistent_id(path)}")
    except ConfigError as err:
        yield fail(what, str(err).removeprefix(f"{path}: "), _give("read", path))


def _spool(settings: Settings) -> Iterator[Finding]:
    what = f"spool {settings.spool}"
    yield _folder(what, settings.spool)
    for path in sorted(settings.spool.glob("*.sqlite*")):
        if not os.access(path, os.R_OK | os.W_OK):
            yield fail(what, f"{path.name} is not writable", _give("write", path))


def _folder(what: str, folder: Path) -> Finding:
    """It, or the one it will be made in, takes new files."""
    nearest = _nearest(folder)
    if not nearest.is_dir():
        return fail(what, f"{nearest} is no folder", "name another place, or remove that file")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return fail(what, f"{nearest} is not writable", _give("write", nearest))
    return ok(what, "writable" if nearest == folder else f"will be made in {nearest}")


def _files_of(there: Destination) -> Iterator[Finding]:
    of = f"destination {there.name}"
    for name in ("ca_file", "cert_file"):
        path = getattr(there, name)
        if path is not None:
            yield _readable(f"{of}: {name} {path}", path)
    for name in ("headers_file", "key_file"):
        path = getattr(there, name)
        if path is not None:
            yield from _secret(f"{of}: {name} {path}", path)


def _readable(what: str, path: Path) -> Finding:
    try:
        with path.open("rb"):
            return ok(what, "readable")
    except OSError as err:
        return fail(what, f"cannot be read: {err.strerror}", _give("read", path))


def _secret(what: str, path: Path) -> Iterator[Finding]:
    found = _readable(what, path)
    if not found.fix and path.stat().st_mode & stat.S_IROTH:
        found = warn(what, "everybody on this machine may read it", f"chmod o-rwx {path}")
    yield found


def _give(right: str, path: Path) -> str:
    if path.exists():
        return f"let the user {_user(os.geteuid())} {right} it: see ls -ld {path}"
    return f"make it, or name another file than {path}"


def _nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that there is."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _user(number: int) -> str:
    import pwd  # a name server may have to be asked: not at the start of the agent

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
