"""VMs of which snapshots are made, their disks as QEMU's own tools see them."""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

from creating_world import World, order_of, perform
from novacron_agent.providers.lifecycle import Done
from novacron_contract.commands import Verb

LEAST: dict[str, Any] = {
    "name": "kept",
    "memory_mib": 64,
    "virtualization": "qemu",
    "disks": [{"size_gib": 0.01}, {"size_gib": 0.01}],
    "cloud_init": {},
    "tags": {"team": "web"},
}


def made(world: World, **spec: Any) -> str:
    vm_id = str(uuid.uuid4())
    spec = {**LEAST, "start": False, **spec}
    assert perform(world.host.uri, order_of(Verb.CREATE, vm_id, spec=spec)).changed
    return vm_id


def do(world: World, verb: Verb, vm_id: str, **arguments: Any) -> Done:
    return perform(world.host.uri, order_of(verb, vm_id, **arguments))


def listed(world: World, vm_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = do(world, Verb.SNAPSHOTS, vm_id).detail["snapshots"]
    return found


def images(world: World, vm_id: str) -> list[Path]:
    return sorted(world.pool("default").glob(f"novacron-{vm_id}-*.qcow2"))


def in_images(world: World, vm_id: str) -> list[list[str]]:
    """As QEMU's own tool sees them."""
    found = []
    for path in images(world, vm_id):
        told = subprocess.run(
            ("qemu-img", "info", "-U", "--output=json", path), capture_output=True, check=True
        )
        found.append([one["name"] for one in json.loads(told.stdout).get("snapshots", [])])
    return found


def write(world: World, vm_id: str, word: str) -> None:
    """As a guest does, at the begin of each of its disks."""
    for path in images(world, vm_id):
        subprocess.run(
            ("qemu-io", "-f", "qcow2", "-c", f"write -P {ord(word)} 0 64k", path),
            check=True, capture_output=True,
        )  # fmt: skip


def reads(world: World, vm_id: str) -> set[str]:
    found = set()
    for path in images(world, vm_id):
        with tempfile.NamedTemporaryFile(dir=world.folder) as raw:
            subprocess.run(
                ("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", path, raw.name),
                check=True,
            )
            found.add(chr(raw.read(1)[0]))
    return found
