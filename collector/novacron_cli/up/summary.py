"""What `novacron up` says once everything runs: where to look, what to try, what it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from novacron_cli.up.addresses import Addresses
from novacron_cli.up.data_folder import DataFolder

_QUERY = "SELECT name, value FROM metrics_now WHERE metric = 'vm.cpu.utilization'"


def summary(
    data: DataFolder,
    addresses: Addresses,
    memory: Mapping[str, int],
    guests: Sequence[str],
) -> str:
    here = _shortest(Path(sys.executable).parent)
    lines = [
        "",
        f"NovaCron runs: http://{addresses.ui}",
        "",
        f"  list     {here}/novacron vm list",
        f'  ask      {here}/novacron sql "{_QUERY}"',
        f"  fetch    curl http://{addresses.api}/v1/vms",
        f"  send     any OpenTelemetry sender: http://{addresses.otlp_http}, "
        f"or gRPC at {addresses.otlp_grpc}",
    ]
    if guests:
        lines.append(f"  load     {here}/novacron-lab load {guests[0]} --seconds 60")
    lines += [
        f"  settings {data.path}/config   logs {data.path}/log",
        f"  stop     Ctrl-C here, or {here}/novacron down",
        "",
        f"  memory   {_memory(memory)}",
    ]
    return "\n".join(lines)


def _memory(memory: Mapping[str, int]) -> str:
    total = sum(memory.values())
    parts = [f"{name} {_mib(size)}" for name, size in memory.items()]
    return f"{_mib(total)} in all: " + ", ".join(parts)


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"


def _shortest(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
