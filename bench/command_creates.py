"""How long it takes to make many guests on one image, by commands and by a plain script."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import libvirt

from command_times import PARALLEL, finish
from commanded_fleet import Fleet, commanded_fleet
from creating_world import World, worlds_of
from hypervisors import Hypervisors, hypervisors
from novacron_contract.access import Role
from plain_scripts import scripts

_IMAGE = {"pool": "images", "volume": "base.qcow2"}
_SPEC: dict[str, Any] = {
    "memory_mib": 32,
    "virtualization": "qemu",
    "disks": [{"linked": _IMAGE}],
    "paused": True,
}


@dataclass
class Creates:
    fleet: Fleet
    found: Hypervisors
    worlds: Mapping[str, World]
    http: httpx.Client
    count: int
    _rounds: int = 0
    _definition: str = ""

    def by_command(self) -> float:
        """One for all, of which each host gets its share."""
        self._rounds += 1
        spec = {**_SPEC, "name": f"bulk-{self._rounds}-{{n}}"}

        took = self._seconds(lambda: self._create(spec, self.count))
        self._remove_by_command(self.count)
        return took

    def by_script(self) -> float:
        """A process for each host, with as many threads, each of which has a connection."""
        self._definition = self._definition or self._definition_of_one()
        self._rounds += 1
        names = [f"bulk-{self._rounds}-{number}" for number in range(self.count)]
        arguments = []
        for number, world in enumerate(self.worlds.values()):
            file = world.folder / "definition.xml"
            file.write_text(self._definition, encoding="utf-8")
            image = str(world.pool("images") / "base.qcow2")
            mine = names[number :: len(self.worlds)]
            arguments.append((world.host.uri, str(PARALLEL), str(file), image, *mine))
        with scripts("plain_creates.py", arguments) as run:
            took = self._seconds(run)
        self._remove_by_hand()
        return took

    def _definition_of_one(self) -> str:
        """As the agent writes it, so that both make the same."""
        self._create({**_SPEC, "name": "bulk-0"}, 1)
        [domain] = [one for world in self.worlds.values() for one in world.conn.listAllDomains()]
        tree = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        self._remove_by_command(1)
        for own in ("uuid", "metadata"):
            for element in tree.findall(own):
                tree.remove(element)
        name, disk = tree.find("name"), tree.find("devices/disk/source")
        assert name is not None
        assert disk is not None
        name.text = "@name@"
        disk.set("file", "@disk@")
        return ET.tostring(tree, encoding="unicode")

    def _create(self, spec: Mapping[str, Any], count: int) -> None:
        self.fleet.see()
        answer = self.http.post("/v1/vms", json={"spec": spec, "count": count})
        finish(self.http, answer.raise_for_status().json())

    def _seconds(self, run: Callable[[], None]) -> float:
        """From the request to the last guest's start, as libvirt tells it."""
        began = time.time()
        run()
        time.sleep(0.5)  # events come soon after
        starts = [one.at for one in self.found.events() if one.kind == "start" and one.at > began]
        whole = sum(map(_is_whole, self._domains()))
        if (len(starts), whole) != (self.count, self.count):
            raise SystemExit(f"{len(starts)} of {self.count} guests started, {whole} are whole")
        return max(starts) - began

    def _domains(self) -> list[libvirt.virDomain]:
        return [one for world in self.worlds.values() for one in world.conn.listAllDomains()]

    def _remove_by_command(self, count: int) -> None:
        [confirm] = {count} if count > 1 else {one.name() for one in self._domains()}
        body = {
            "verb": "delete",
            "arguments": {"force": True},
            "targets": {"select": {"name": "bulk-*"}},
            "confirm": confirm,
        }
        finish(self.http, self.http.post("/v1/operations", json=body).raise_for_status().json())
        if self._domains():
            raise SystemExit("not all guests were deleted")

    def _remove_by_hand(self) -> None:
        for domain in self._domains():
            domain.destroy()
            domain.undefine()
        for world in self.worlds.values():
            pool = world.conn.storagePoolLookupByName("images")
            for volume in pool.listAllVolumes():
                if volume.name().startswith("bulk-"):
                    volume.delete(0)


def _is_whole(domain: libvirt.virDomain) -> bool:
    disk = ET.fromstring(domain.XMLDesc()).find("devices/disk/source")
    return disk is not None and Path(disk.get("file", "")).is_file() and bool(domain.isActive())


def bulk_creates(folder: Path, guests: int, pairs: int) -> Mapping[str, float]:
    """On two hosts, each with an agent, by one command and by a script in turn."""
    folder.mkdir()
    settings = f"[commands]\nper_host = {PARALLEL}\n"
    with hypervisors() as found:
        hosts = {"maker-a": found.host, "maker-b": found.beside}
        with (
            worlds_of(hosts, found.folder) as worlds,
            commanded_fleet(folder, found, settings) as fleet,
        ):
            for name, world in worlds.items():
                fleet.add_host(name, world.host.uri, "bulk-*")
            fleet.start()
            with fleet.operator(Role.VM_ADMIN) as http:
                return _measured(Creates(fleet, found, worlds, http, guests), pairs)


def _measured(many: Creates, pairs: int) -> Mapping[str, float]:
    many.by_script()  # libvirt and the kernel have seen all of it once
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(pairs):
        print(f"\rpair {number + 1} of {pairs}", end="", flush=True)
        turns = [(ours, many.by_command), (theirs, many.by_script)]
        for seconds, run in turns if number % 2 else reversed(turns):
            seconds.append(run())
    print(f"\rcommands {ours}, script {theirs}")
    return {
        "bulk_create_ratio_to_libvirt": median(map(float.__truediv__, ours, theirs)),
        "bulk_create_commands_s": median(ours),
        "bulk_create_libvirt_s": median(theirs),
    }
