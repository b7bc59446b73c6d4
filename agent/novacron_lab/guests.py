"""The QEMU guests: their XML, starting them, and asking one for load."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import libvirt

from novacron_lab.commands import run
from novacron_lab.errors import LabError
from novacron_lab.kernel import Kernel
from novacron_lab.layout import Host
from novacron_lab.plan import GuestPlan

NETWORK = "lan"
_NETWORK_XML = (
    f"<network><name>{NETWORK}</name><forward mode='bridge'/><bridge name='br0'/></network>"
)
_DISK_SIZE = "64M"
_UP = b"LAB-GUEST-UP"
# A quiet kernel: emulated, each needless timer tick costs the machine real time.
_QUIET = "console=ttyS0 quiet panic=-1 nowatchdog no_timer_check tsc=reliable mitigations=off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    plan: GuestPlan
    uuid: str
    host: Host
    address: str
    peer: str | None  # the address it fetches from
    disk: Path
    console: Path

    @property
    def name(self) -> str:
        return self.plan.name

    def has_booted(self) -> bool:
        return self.console.exists() and _UP in self.console.read_bytes()


def ensure_network(conn: libvirt.virConnect) -> None:
    """The host's libvirt network: its bridge on the LAN."""
    if NETWORK not in conn.listDefinedNetworks() + conn.listNetworks():
        conn.networkDefineXML(_NETWORK_XML)
    network = conn.networkLookupByName(NETWORK)
    if not network.isActive():
        network.create()


def ensure_running(
    conn: libvirt.virConnect, guest: Guest, kernel: Kernel, initrd: Path, domain_type: str
) -> bool:
    """Whether it had to be started."""
    domain = _find(conn, guest)
    if domain is not None and _runs(domain):
        return False
    if not guest.disk.exists():
        run("qemu-img", "create", "-q", "-f", "qcow2", str(guest.disk), _DISK_SIZE)
    guest.console.unlink(missing_ok=True)
    conn.defineXML(_xml(guest, kernel, initrd, domain_type)).create()
    return True


def states(conn: libvirt.virConnect) -> dict[str, str]:
    """The state of every guest this host knows, by UUID."""
    return {domain.UUIDString(): _state(domain) for domain in conn.listAllDomains()}


def wait_until_up(guests: tuple[Guest, ...], timeout: float) -> None:
    """Raises LabError if one has not booted in time."""
    deadline = time.monotonic() + timeout
    while booting := [guest.name for guest in guests if not guest.has_booted()]:
        if time.monotonic() > deadline:
            raise LabError(f"{', '.join(booting)}: not up after {timeout:g} s")
        time.sleep(0.1)


def start_load(guest: Guest, seconds: int) -> None:
    """Ask the guest, over the network of its host, to keep its vCPU busy for a while."""
    request = f"GET /cgi-bin/load?{seconds} HTTP/1.0\r\n\r\n"
    answer = guest.host.namespace.run(
        "busybox", "nc", "-w", "5", guest.address, "80", stdin=request
    )
    if "busy for" not in answer:
        raise LabError(f"{guest.name} does not take the load: {answer.strip()}")


def _find(conn: libvirt.virConnect, guest: Guest) -> libvirt.virDomain | None:
    try:
        return conn.lookupByUUIDString(guest.uuid)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _runs(domain: libvirt.virDomain) -> bool:
    """Whether it really does.

    A libvirtd just started takes guests for active until it has looked for their QEMU; only a
    question for QEMU itself waits for that.
    """
    try:
        domain.memoryStats()
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return False
        raise
    return True


def _state(domain: libvirt.virDomain) -> str:
    names = {
        libvirt.VIR_DOMAIN_RUNNING: "running",
        libvirt.VIR_DOMAIN_BLOCKED: "blocked",
        libvirt.VIR_DOMAIN_PAUSED: "paused",
        libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
        libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
        libvirt.VIR_DOMAIN_CRASHED: "crashed",
        libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
    }
    return names.get(domain.state()[0], "unknown")


def _command_line(guest: Guest) -> str:
    """What is not the kernel's own (no dot, a value) reaches /init as environment."""
    beats = ",".join(f"{beat.cpu}:{beat.disk}:{beat.network}" for beat in guest.plan.beats)
    peer = f" LAB_PEER={guest.peer}" if guest.peer else ""
    return f"{_QUIET} LAB_ADDRESS={guest.address}/24{peer} LAB_BEATS={beats}"


def _xml(guest: Guest, kernel: Kernel, initrd: Path, domain_type: str) -> str:
    path = {
        name: escape(str(value), {"'": "&apos;"})
        for name, value in (
            ("kernel", kernel.image),
            ("initrd", initrd),
            ("disk", guest.disk),
            ("console", guest.console),
        )
    }
    return f"""
<domain type='{domain_type}'>
  <name>{guest.name}</name>
  <uuid>{guest.uuid}</uuid>
  <title>{guest.name} of the lab</title>
  <metadata>
    <lab:guest xmlns:lab='https://novacron.dev/xmlns/lab/1' address='{guest.address}'/>
  </metadata>
  <memory unit='MiB'>{guest.plan.memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{path["kernel"]}</kernel>
    <initrd>{path["initrd"]}</initrd>
    <cmdline>{_command_line(guest)}</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/>
      <source file='{path["disk"]}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <source network='{NETWORK}'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <serial type='file'><source path='{path["console"]}'/></serial>
    <memballoon model='virtio'><stats period='5'/></memballoon>
  </devices>
</domain>"""
