"""Where `novacron` finds the API when nobody says it: client.toml, that `novacron up` and `novacron
setup` write on the collector's machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from novacron_cli.collector import DEFAULT_URL
from novacron_cli.collector_file import default_path
from novacron_contract.errors import ConfigError
from novacron_contract.settings import http_url, load, setting

INSTALLED = Path("/etc/novacron")
_NAME = "client.toml"
_MARK = "# Written by `novacron setup`: where `novacron` finds the collector on this machine.\n"


@dataclass(frozen=True, kw_only=True)
class _Client:
    url: str = setting(check=http_url)
    ca_file: Path | None = setting(None)


@dataclass(frozen=True, kw_only=True)
class _File:
    client: _Client


@dataclass(frozen=True, slots=True)
class ClientFile:
    """`ca_file`: the authority to trust there; None: those of the system."""

    url: str = DEFAULT_URL
    ca_file: Path | None = None

    def write(self, folder: Path) -> None:
        """
        Raises:
            ConfigError: it cannot be written.
        """
        lines = [_MARK, "[client]\n", f"url = {json.dumps(self.url)}\n"]
        if self.ca_file is not None:
            lines.append(f"ca_file = {json.dumps(str(self.ca_file))}\n")
        try:
            (folder / _NAME).write_text("".join(lines), encoding="utf-8")
        except OSError as err:
            raise ConfigError(f"{folder / _NAME}: cannot be written: {err.strerror}") from err


def usual() -> ClientFile:
    """What $NOVACRON_URL says, else the data folder of `novacron up`, else /etc/novacron.

    Raises:
        ConfigError: the file says something that is not allowed.
    """
    if url := os.environ.get("NOVACRON_URL"):
        return ClientFile(url)
    for folder in (default_path(), INSTALLED):
        if os.access(folder / _NAME, os.R_OK):
            return _read(folder / _NAME)
    return ClientFile()


def _read(path: Path) -> ClientFile:
    try:
        found = load(path, _File).client
    except ConfigError as err:
        raise ConfigError(f"{err}; delete it: `novacron up` writes it anew") from err
    return ClientFile(found.url, found.ca_file)


def publish(client: ClientFile) -> list[Path]:
    """For everybody on this machine, as root: what was written; nothing where the usual URL is
    right.

    Raises:
        ConfigError: it cannot be read or written.
    """
    here, authority = INSTALLED / _NAME, INSTALLED / "ca.pem"
    try:
        if client == ClientFile():
            if here.exists() and here.read_text(encoding="utf-8").startswith(_MARK):
                here.unlink()
            return []
        INSTALLED.mkdir(mode=0o755, exist_ok=True)
        if client.ca_file is not None:
            authority.write_bytes(client.ca_file.read_bytes())
            authority.chmod(0o644)
    except OSError as err:
        raise ConfigError(f"{err.filename}: {err.strerror}") from err
    ClientFile(client.url, authority if client.ca_file is not None else None).write(INSTALLED)
    here.chmod(0o644)
    return [here, *([authority] if client.ca_file is not None else [])]
