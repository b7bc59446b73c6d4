"""A lab host with a herd of paused guests, whose QEMUs a test may hang and kill."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest

from novacron_contract.errors import NovaCronError
from novacron_lab.herd import herd
from novacron_lab.lab import Lab
from novacron_lab.layout import Host
from novacron_lab.plan import GuestPlan
from reaping import reaping


@dataclass(frozen=True)
class Herd:
    lab: Lab
    host: Host
    names: list[str]
    conn: libvirt.virConnect

    def qemu(self, name: str) -> int:
        return int((self.host.socket.parent / f"qemu/{name}.pid").read_text())

    @contextmanager
    def spare(self, name: str) -> Iterator[libvirt.virDomain]:
        """One more guest, defined and off, for a test to start and end."""
        xml = self.conn.lookupByName(self.names[0]).XMLDesc()
        domain = self.conn.defineXML(spare_xml(xml, name))
        try:
            yield domain
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                domain.destroy()
            domain.undefine()

    def uuid(self, name: str) -> str:
        return str(self.conn.lookupByName(name).UUIDString())

    @contextmanager
    def hung(self, *names: str) -> Iterator[None]:
        pids = [self.qemu(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@contextmanager
def herd_of(count: int, plan: tuple[GuestPlan, ...] = ()) -> Iterator[Herd]:
    with reaping(), tempfile.TemporaryDirectory(prefix="nclab-", dir="/tmp") as place:
        lab = Lab(directory=Path(place) / "lab", plan=plan, say=print)
        try:
            lab.up()
            host = lab.hosts[0]
            with herd(host, count, Path(place)) as names:
                yield Herd(lab, host, names, libvirt.open(host.uri))
        except NovaCronError as err:
            pytest.fail(f"no lab: {err}", pytrace=False)
        finally:
            lab.down()


def spare_xml(xml: str, name: str) -> str:
    """Of the same kind as a guest of the herd, with nothing that belongs to that one."""
    domain = ET.fromstring(xml)
    domain.attrib.pop("id", None)
    for tag in ("uuid", "seclabel", "resource"):
        for found in domain.findall(tag):
            domain.remove(found)
    named = domain.find("name")
    assert named is not None
    named.text = name
    devices = domain.find("devices")
    assert devices is not None
    for kind in ("interface", "disk"):
        for device in devices.findall(kind):
            devices.remove(device)
    return ET.tostring(domain, encoding="unicode")
