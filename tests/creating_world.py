"""A lab host with pools, on which tests make VMs; and libvirt's calls that change something, at
each of which a test may have it fail, or die."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from lifecycle_contract import Heard
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.owned import undefine
from novacron_agent.providers.lifecycle import Done
from novacron_contract.commands import VERBS, Order, Value, Verb
from novacron_lab import initrd, kernel
from novacron_lab.layout import Host

POOLS = ("default", "images")
EFFECTS = (
    (libvirt.virStoragePool, "createXML"),
    (libvirt.virStoragePool, "createXMLFrom"),
    (libvirt.virStorageVol, "upload"),
    (libvirt.virStorageVol, "resize"),
    (libvirt.virStorageVol, "delete"),
    (libvirt.virConnect, "defineXMLFlags"),
    (libvirt.virDomain, "setAutostart"),
    (libvirt.virDomain, "createWithFlags"),
    (libvirt.virDomain, "destroyFlags"),
    (libvirt.virDomain, "undefineFlags"),
    (libvirt.virDomain, "setMetadata"),
    (libvirt.virDomain, "attachDeviceFlags"),
    (libvirt.virDomain, "detachDeviceFlags"),
    (libvirt.virDomain, "detachDeviceAlias"),
    (libvirt.virDomain, "blockResize"),
    (libvirt.virDomain, "snapshotCreateXML"),
    (libvirt.virDomain, "revertToSnapshot"),
    (libvirt.virDomainSnapshot, "delete"),
)


@dataclass
class World:
    host: Host
    folder: Path
    _conn: libvirt.virConnect

    @property
    def conn(self) -> libvirt.virConnect:
        """Another one where libvirtd was killed since."""
        try:
            self._conn.listDomainsID()
        except libvirt.libvirtError:
            self._conn = libvirt.open(self.host.uri)
        return self._conn

    def pool(self, name: str) -> Path:
        return self.folder / name

    def clear(self) -> None:
        for domain in self.conn.listAllDomains():
            if domain.isActive():
                domain.destroy()
            undefine(domain)
        for name in POOLS:
            for path in self.pool(name).glob("novacron-*"):
                path.unlink()

    def listing(self) -> dict[str, str]:
        """Everything that a VM could leave behind: files of pools with what is in them, what
        libvirt keeps of domains, and what it knows."""
        found = {f"domain {one.name()}": "" for one in self.conn.listAllDomains()}
        for name in POOLS:
            pool = self.conn.storagePoolLookupByName(name)
            pool.refresh(0)
            found |= {f"volume {name}/{one}": "" for one in pool.listVolumes()}
            for path in self.pool(name).iterdir():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        for kept in _kept(self.host):
            found[str(kept)] = ""
        return found


def _kept(host: Host) -> Iterator[Path]:
    root = host.socket.parents[2]
    for folder in ("etc", "lib"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() or path.is_symlink():
                yield path


@contextmanager
def world_of(host: Host, folder: Path, cache: Path = kernel.CACHE) -> Iterator[World]:
    """`images` has a kernel, an initrd, and an empty disk to build on."""
    conn = libvirt.open(host.uri)
    for name in POOLS:
        (folder / name).mkdir()
    image = kernel.cached(cache)
    assert image is not None
    shutil.copyfile(image.image, folder / "images/vmlinuz")
    (folder / "images/initrd").write_bytes(initrd.build(image.modules))
    pools = []
    for name in POOLS:
        xml = f"<pool type='dir'><name>{name}</name><target><path>{folder}/{name}</path></target>"
        pools.append(conn.storagePoolDefineXML(f"{xml}</pool>", 0))
        pools[-1].create(0)
    base = "<volume><name>base.qcow2</name><capacity unit='MiB'>8</capacity><target>"
    pools[1].createXML(f"{base}<format type='qcow2'/></target></volume>", 0)
    world = World(host, folder, conn)
    try:
        yield world
    finally:
        world.clear()
        for name in POOLS:
            pool = world.conn.storagePoolLookupByName(name)
            pool.destroy()
            pool.undefine()
        world.conn.close()


@contextmanager
def worlds_of(hosts: Mapping[str, Host], folder: Path) -> Iterator[dict[str, World]]:
    """Several hosts, each with pools of its own."""
    with ExitStack() as ends:
        worlds: dict[str, World] = {}
        for name, host in hosts.items():
            (folder / name).mkdir()
            worlds[name] = ends.enter_context(world_of(host, folder / name))
        yield worlds


def order_of(verb: Verb, vm_id: str, timeout_s: float = 60.0, **arguments: Value) -> Order:
    return Order(
        id=str(uuid.uuid4()),
        verb=verb,
        vm_id=vm_id,
        arguments=VERBS[verb].parse(arguments),
        ttl_ms=60_000,
        timeout_s=timeout_s,
    )


def perform(uri: str, order: Order, heard: Heard | None = None) -> Done:
    lifecycle = KvmLifecycle(uri)
    try:
        return lifecycle.perform(order, heard or Heard(), time.monotonic() + order.timeout_s)
    finally:
        lifecycle.close()


@contextmanager
def interrupted(at: int, what: Callable[[], None]) -> Iterator[list[str]]:
    """At the so manieth point, which are before and after each call that changes something, `what`
    happens. The names of the points that were passed."""
    passed: list[str] = []
    originals = [(kind, name, getattr(kind, name)) for kind, name in EFFECTS]

    def point(name: str) -> None:
        passed.append(name)
        if len(passed) == at:
            what()

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            point(f"before {name}")
            result = original(*args, **kwargs)
            point(f"after {name}")
            return result

        return call

    try:
        for kind, name, original in originals:
            setattr(kind, name, watched(name, original))
        yield passed
    finally:
        for kind, name, original in originals:
            setattr(kind, name, original)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
