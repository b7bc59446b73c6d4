"""What `novacron up` says once everything runs: where to look, what to try, what it takes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from novacron_cli.collector_file import default_path
from novacron_cli.up.addresses import Addresses
from novacron_cli.up.choices import is_here
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.hypervisors import LAB_DIRECTORY, Lab
from novacron_contract.settings import host_port

_QUERY = "SELECT * FROM vm_state"


def summary(
    data: DataFolder,
    addresses: Addresses,
    memory: Mapping[str, int],
    lab: Lab | None,
) -> str:
    here, api = _here(), data.client(addresses).url
    lines = ["", f"NovaCron runs: http://{addresses.ui}", ""]
    novacron = command_for(data)
    if not data.was_set_up:
        lines.append(f"  users    {here}/novacron setup{folder_option(data)}")
    lines += [
        f"  list     {novacron} vm list",
        f'  ask      {novacron} sql "{_QUERY}"',
        *([f"  fetch    curl {api}/v1/vms"] if is_here(addresses.api) else []),
        f"  send     {_senders(addresses)}",
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


def command_for(data: DataFolder) -> str:
    """The command that finds this collector by itself."""
    if data.path == default_path():
        return program()
    return f"NOVACRON_DATA={shlex.quote(str(data.path))} {program()}"


def program() -> str:
    return f"{_here()}/novacron"


def _here() -> str:
    return _shortest(Path(sys.executable).parent)


def folder_option(data: DataFolder) -> str:
    """What `novacron up` and `setup` must be told."""
    return "" if data.path == default_path() else f" --data {shlex.quote(str(data.path))}"


def _senders(addresses: Addresses) -> str:
    http, grpc = addresses.otlp_http, addresses.otlp_grpc
    if is_here(http):
        return f"any OpenTelemetry sender: http://{http}, or gRPC at {grpc}"
    ports = f"port {host_port(http)[1]}, or gRPC at {host_port(grpc)[1]}"
    return f"OpenTelemetry senders with a token, by https: {ports}"


def _folders(data: DataFolder, lab: Lab | None) -> str:
    """What `novacron down` must be told, where it is not what it takes by itself."""
    words = folder_option(data)
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
