"""Who is reporting: the machine the agent runs on, and the agent itself."""

from __future__ import annotations

import os
import platform
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.metrics import HOST_ID, HOST_NAME

# Python's and libvirt's names for processors -> OpenTelemetry's host.arch
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ppc64le": "ppc64",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A host; `resource` is how it appears in telemetry."""

    id: str
    name: str
    arch: str
    os_description: str
    os_type: str = "linux"
    os_version: str = ""  # of the kernel; OpenTelemetry's SDKs say so, too

    @property
    def resource(self) -> dict[str, str | float]:
        known: dict[str, str | float] = {
            HOST_ID: self.id,
            HOST_NAME: self.name,
            "host.arch": self.arch,
            "os.type": self.os_type,
            "os.description": self.os_description,
        }
        return known | {"os.version": self.os_version} if self.os_version else known


def architecture(name: str) -> str:
    return _ARCHITECTURES.get(name, name)


def this_machine(
    id_file: Path, host_id: str | None = None, machine_id_file: Path = Path("/etc/machine-id")
) -> Machine:
    """Describe the machine the agent runs on.

    Its id is `host_id`, else systemd's machine id, else one kept in "host-id" beside `id_file`:
    a chroot or a container image often has an empty machine id.
    """
    return Machine(
        id=host_id or _machine_id(machine_id_file) or persistent_id(id_file.with_name("host-id")),
        name=socket.gethostname(),
        arch=architecture(platform.machine()),
        os_description=_os_description(),
        os_type=platform.system().lower(),
        os_version=platform.release(),
    )


def persistent_id(path: Path) -> str:
    """The UUID in `path`, made and written there the first time.

    Raises:
        ConfigError: the file cannot be read or written, or holds something else.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _new_id(path)
    except (OSError, UnicodeDecodeError) as err:
        reason = getattr(err, "strerror", None) or "not text"
        raise ConfigError(f"{path}: the id cannot be read: {reason}") from err
    try:
        return str(uuid.UUID(text))
    except ValueError as err:
        raise ConfigError(f"{path}: holds no UUID; delete it and a new one is made") from err


def _new_id(path: Path) -> str:
    """Write a whole file or none: a crash in between must not leave an empty id."""
    identity = str(uuid.uuid4())
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="ascii") as file:
            file.write(identity + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as err:
        raise ConfigError(
            f"{path}: the id cannot be written: {err.strerror}; set [agent] id_file to a place "
            "this user may write to"
        ) from err
    return identity


def _machine_id(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else None


def _os_description() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
