"""Many guests of firmware alone, paused: they cost memory and hardly any CPU. For measurements."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt

from novacron_lab.layout import Host

_AT_ONCE = 4  # libvirtd starts so many beside each other
_DISK_MIB, _MEMORY_MIB = 8, 16
_XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory}</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='lan'/><model type='virtio'/><rom enabled='no'/>
</interface><memballoon model='virtio'><stats period='10'/></memballoon></devices></domain>"""


@contextmanager
def herd(host: Host, count: int, folder: Path) -> Iterator[list[str]]:
    """The names of guests, which are gone afterwards.

    Raises:
        libvirt.libvirtError: one of them does not start.
    """
    conn = libvirt.open(host.uri)
    names = [f"herd-{number:03d}" for number in range(count)]
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: _start(conn, name, folder / f"{name}.raw"), names))
        yield names
    finally:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: _end(conn, name), names))
        conn.close()


def _start(conn: libvirt.virConnect, name: str, disk: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(_DISK_MIB * 2**20)
    xml = _XML.format(name=name, memory=_MEMORY_MIB, disk=disk)
    conn.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)


def _end(conn: libvirt.virConnect, name: str) -> None:
    with suppress(libvirt.libvirtError):  # it never started, or a test has ended it
        conn.lookupByName(name).destroy()
