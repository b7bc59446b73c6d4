"""Who this collector is: one identity per log folder, so that it stays through restarts."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from novacron_contract.collector_metrics import COLLECTOR_SERVICE_NAME
from novacron_contract.metrics import HOST_NAME

log = logging.getLogger(__name__)

_FILE = "instance-id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def resource(folder: Path, version: str) -> Mapping[str, str]:
    """The resource attributes of the collector whose log is in `folder`."""
    return {
        "service.name": COLLECTOR_SERVICE_NAME,
        "service.instance.id": instance_id(folder),
        "service.version": version,
        HOST_NAME: socket.gethostname(),
    }


def instance_id(folder: Path) -> str:
    """As it was; where it never was, or is damaged, a new one. A disk that takes none costs the
    identity at the next start, and nothing else."""
    path = folder / _FILE
    try:
        known = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        known = ""
    return known if _ID.fullmatch(known) else _made(path)


def _made(path: Path) -> str:
    fresh = str(uuid4())
    draft = path.with_suffix(".new")
    try:
        draft.write_text(f"{fresh}\n", encoding="ascii")
        os.replace(draft, path)
    except OSError as err:
        log.warning("%s cannot be written, and the next start has another: %s", path, err.strerror)
    return fresh
