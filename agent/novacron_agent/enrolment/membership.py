"""What an agent that joined has on disk, in a folder for its eyes only.

agent.pem        its certificate and key, in one file that is replaced whole
ca.pem           the collector's authority, alone trusted
membership.json  where the collector is, who we are there, how long the certificate holds
"""

from __future__ import annotations

import json
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.private_file import write_private
from novacron_contract.settings import parse

CERTIFICATE, AUTHORITY, MEMBERSHIP = "agent.pem", "ca.pem", "membership.json"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Times are Unix seconds. `url` is https://HOST:PORT, `pin` of the authority."""

    folder: Path
    url: str
    agent_id: str
    pin: str
    serial: str
    begins: float
    ends: float

    @property
    def cert_file(self) -> Path:
        """With the key."""
        return self.folder / CERTIFICATE

    @property
    def ca_file(self) -> Path:
        return self.folder / AUTHORITY

    def renew_at(self) -> float:
        return self.begins + (self.ends - self.begins) * 2 / 3


@dataclass(frozen=True, kw_only=True)
class _Stored:
    url: str
    agent_id: str
    pin: str
    serial: str
    begins: float
    ends: float


def read_membership(folder: Path) -> Membership | None:
    """None: this agent has not joined.

    Raises:
        ConfigError: the folder cannot be read, or holds something else.
    """
    path = folder / MEMBERSHIP
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
        stored = parse(document, _Stored, where=str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err
    except (ValueError, RecursionError, AttributeError) as err:
        raise ConfigError(f"{path}: is damaged: join again with --again") from err
    return Membership(folder=folder, **asdict(stored))


def write_membership(membership: Membership, folder: Path | None = None) -> None:
    """Into its own folder, or into `folder`, which will be put there."""
    document = {name: value for name, value in asdict(membership).items() if name != "folder"}
    text = json.dumps(document, indent=2).encode() + b"\n"
    write_private((folder or membership.folder) / MEMBERSHIP, text)


def state(folder: Path) -> object:
    """Another one when certificates were renewed: then a client is to be opened anew."""
    try:
        found = [(folder / name).stat() for name in (CERTIFICATE, AUTHORITY)]
    except OSError:
        return None
    return [(one.st_mtime_ns, one.st_ino) for one in found]


def ssl_context(folder: Path) -> ssl.SSLContext:
    """
    Raises:
        ConfigError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=folder / AUTHORITY)
        context.load_cert_chain(folder / CERTIFICATE, password="")
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(f"{folder}: cannot be used: {err.strerror or err}") from err
    return context
