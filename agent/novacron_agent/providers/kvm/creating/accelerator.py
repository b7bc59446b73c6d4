"""Whether a guest runs with KVM here, found out by running one.

There are machines, nested ones above all, where /dev/kvm opens, libvirt lists kvm, and a guest's
firmware even runs; a system's kernel does not.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
import xml.etree.ElementTree as ET

import libvirt

from novacron_agent.providers.kvm.creating.storage import volume
from novacron_agent.providers.kvm.marks import prefix
from novacron_agent.providers.kvm.markup import add, parsed, written
from novacron_contract.vm_spec import Format, Virtualization, VmSpec

_SECONDS = 6.0
_OFTEN_S = 0.05
# A boot sector: to 64 bits with paging, twenty million turns of a loop, CPUID, and power off by the
# ACPI port of QEMU's pc (0x2000 to 0x604). Without KVM it takes a third of a second.
_GUEST = (
    bytes.fromhex(
        "fa31c08ed88ec08ed0bc007cbf0010b90018f3abc70600100320c70600200330c7060030830066b8a0000000"
        "0f22e066b8001000000f22d866b9800000c00f32660d000100000f300f20c0660d010000800f22c0660f0116"
        "a87cea5f7c080066b810008ed88ed048c7c400700000b9002d3101ffc975fc31c00fa266baf803b04cee66ba"
        "040666b8002066eff4ebfd90000000000000000000000000009a200000000000009200001700907c"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)
_lock = threading.Lock()
_known: dict[str, bool] = {}


def kind_of(conn: libvirt.virConnect, vm_id: str, spec: VmSpec) -> str:
    """The type of a domain for it. What a trial showed holds as long as this process."""
    if conn.getType() != "QEMU":
        return str(conn.getType()).lower()
    if spec.virtualization is not Virtualization.AUTO:
        return spec.virtualization.value
    uri = conn.getURI()
    with _lock:
        known = _known.get(uri)
    if known is None:
        pool = _a_pool(conn, spec)
        if pool is None:  # there is nothing to try it with, and what is emulated runs
            return "qemu"
        known = _is_offered(conn) and _runs(conn, vm_id, pool)
        with _lock:
            _known[uri] = known
    return "kvm" if known else "qemu"


def _a_pool(conn: libvirt.virConnect, spec: VmSpec) -> libvirt.virStoragePool | None:
    """One of the spec's, or any."""
    active = conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    return min(active, key=lambda pool: pool.name() not in spec.pools, default=None)


def _is_offered(conn: libvirt.virConnect) -> bool:
    arch = conn.getInfo()[0]
    guests = parsed(conn.getCapabilities()).iterfind(f"guest/arch[@name='{arch}']/domain")
    return any(one.get("type") == "kvm" for one in guests)


def _runs(conn: libvirt.virConnect, vm_id: str, pool: libvirt.virStoragePool) -> bool:
    """On processors other than x86 what libvirt offers is believed."""
    if conn.getInfo()[0] != "x86_64":
        return True
    disk = _boot_disk(conn, vm_id, pool)
    try:
        domain = conn.createXML(
            written(_definition(vm_id, disk.path())), libvirt.VIR_DOMAIN_START_AUTODESTROY
        )
    except libvirt.libvirtError:
        return False
    else:
        return _has_ended(domain)
    finally:
        disk.delete(0)


def _boot_disk(
    conn: libvirt.virConnect, vm_id: str, pool: libvirt.virStoragePool
) -> libvirt.virStorageVol:
    xml = volume(f"{prefix(vm_id)}trial.img", len(_GUEST), Format.RAW)
    disk = pool.createXML(written(xml), 0)
    stream = conn.newStream()
    disk.upload(stream, 0, len(_GUEST), 0)
    stream.send(_GUEST)
    stream.finish()
    return disk


def _definition(vm_id: str, path: str) -> ET.Element:
    domain = ET.Element("domain", type="kvm")
    add(domain, "name", f"{prefix(vm_id)}trial")
    add(domain, "uuid", uuid.uuid4())
    add(domain, "memory", 16, unit="MiB")
    add(add(domain, "os"), "type", "hvm", arch="x86_64", machine="pc")
    add(domain, "features").append(ET.Element("acpi"))
    devices = add(domain, "devices")
    disk = add(devices, "disk", type="file", device="disk")
    add(disk, "driver", name="qemu", type="raw")
    add(disk, "source", file=path)
    add(disk, "target", dev="hda", bus="ide")
    add(devices, "controller", type="usb", model="none")
    add(devices, "memballoon", model="none")
    return domain


def _has_ended(domain: libvirt.virDomain) -> bool:
    """A transient domain is gone once it has powered itself off."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        try:
            if not domain.isActive():
                return True
        except libvirt.libvirtError:
            return True
        time.sleep(_OFTEN_S)
    with contextlib.suppress(libvirt.libvirtError):
        domain.destroy()
    return False
