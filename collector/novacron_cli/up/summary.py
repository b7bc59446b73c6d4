"""What `novacron up` says once everything runs: where to look, what to try, what it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from novacron_cli.collector_file import default_path
from novacron_cli.up.addresses import Addresses, on_loopback
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.hypervisors import LAB_DIRECTORY, Lab

_QUERY = "SELECT * FROM vm_state"


def summary(
    data: DataFolder,
    addresses: Addresses,
    memory: Mapping[str, int],
    lab: Lab | None,
) -> str:
    here = _shortest(Path(sys.executable).parent)
    novacron = f"{here}/novacron"
    if addresses.api != on_loopback().api:
        novacron = f"NOVACRON_URL=http://{addresses.api} {novacron}"
    lines = [
        "",
        f"NovaCron runs: http://{addresses.ui}",
        "",
        f"  list     {novacron} vm list",
        f'  ask      {novacron} sql "{_QUERY}"',
        f"  fetch    curl http://{addresses.api}/v1/vms",
        f"  send     any OpenTelemetry sender: http://{addresses.otlp_http}, "
        f"or gRPC at {addresses.otlp_grpc}",
    ]
    if lab is not None and (guests := lab.guests()):
        where = "" if lab.directory == LAB_DIRECTORY else f" --dir {lab.directory}"
        lines.append(f"  load     {here}/novacron-lab load {guests[0]} --seconds 60{where}")
    lines += [
        f"  settings {data.path}/config   logs {data.path}/log",
        f"  stop     Ctrl-C here, or from elsewhere: {here}/novacron down{_folders(data, lab)}",
        "",
        f"  memory   {_memory(memory)}",
    ]
    return "\n".join(lines)


def _folders(data: DataFolder, lab: Lab | None) -> str:
    """What `novacron down` must be told, where it is not what it takes by itself."""
    words = "" if data.path == default_path() else f" --data {data.path}"
    if lab is not None and lab.directory != LAB_DIRECTORY:
        words += f" --lab-dir {lab.directory}"
    return words


def _memory(memory: Mapping[str, int]) -> str:
    total = sum(memory.values())
    parts = [f"{name} {_mib(size)}" for name, size in memory.items()]
    return f"{_mib(total)} in all: " + ", ".join(parts)


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"


def _shortest(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
