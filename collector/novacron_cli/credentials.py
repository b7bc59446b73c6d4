"""The credential of the command line: never in its arguments, which the whole machine sees.

credentials.json holds, by the URL of a collector, the session that `novacron login` began there.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from novacron_contract.errors import ConfigError
from novacron_contract.settings import read_secret


def credential(url: str, token_file: Path | None) -> str:
    """What to send to the collector at `url`; empty: nothing.

    Raises:
        ConfigError: the file cannot be read, or others can read it.
    """
    if token_file is not None:
        return _checked(read_secret(token_file), str(token_file))
    if token := os.environ.get("NOVACRON_TOKEN"):
        return _checked(token, "$NOVACRON_TOKEN")
    return kept(url)


def kept(url: str) -> str:
    """The session that `novacron login` left for this URL, or nothing.

    Raises:
        ConfigError: the file cannot be read, or others can read it.
    """
    of_url = _read(_path()).get(_key(url), {})
    token = of_url.get("token", "") if isinstance(of_url, dict) else ""
    return _checked(str(token), str(_path()))


def keep(url: str, name: str, token: str) -> None:
    """
    Raises:
        ConfigError: the file cannot be written.
    """
    _write({**_read(_path()), _key(url): {"name": name, "token": token}})


def forget(url: str) -> None:
    """
    Raises:
        ConfigError: the file cannot be written.
    """
    every = _read(_path())
    if every.pop(_key(url), None) is not None:
        _write(every)


def _path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "novacron" / "credentials.json"


def _key(url: str) -> str:
    return url.rstrip("/")


def _checked(token: str, where: str) -> str:
    """What goes into a header, and nothing beyond it."""
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{where}: expected a token such as nct_…, and nothing else")
    return token


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path}: others can read it: chmod 600 {path}")
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise ConfigError(f"{path}: is not JSON: delete it, and log in again") from err
    return document if isinstance(document, dict) else {}


def _write(document: dict[str, Any]) -> None:
    """Whole or not at all; mkstemp's files are their owner's alone."""
    path = _path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".credentials")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(document, out, indent=2)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as err:
        raise ConfigError(f"{path}: cannot be written: {err.strerror}") from err
