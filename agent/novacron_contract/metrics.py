"""The metrics NovaCron's own agents send: names, units, kinds, attributes.

A host measured from inside is `system.*` (OpenTelemetry semantic conventions). A guest measured
from outside is `vm.*`, the same for every provider; what only one provider knows has its own
namespace (`libvirt.*`). Identity of a series: (metric, entity, attributes). The entity is the
resource attribute `vm.id` for a guest and `host.id` for a host; names are descriptive only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

VM_ID = "vm.id"
VM_NAME = "vm.name"
VM_HOST_ID = "vm.host.id"
VM_HOST_NAME = "vm.host.name"
HOST_ID = "host.id"
HOST_NAME = "host.name"
AGENT_SERVICE_NAME = "novacron-agent"  # service.name of an agent's own resource
SENT_AT_HEADER = "X-Novacron-Sent-At"  # unix milliseconds by the sender's clock


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"  # OTLP sum, cumulative, monotonic
    UPDOWN = "updowncounter"  # OTLP sum, cumulative, not monotonic
    HISTOGRAM = "histogram"  # OTLP histogram, cumulative, explicit bounds


class VmState(StrEnum):
    """One model for every provider; the value of the attribute `vm.state`."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDED = "suspended"  # by the guest's own power management
    CRASHED = "crashed"
    BLOCKED = "blocked"  # waits for a resource: no disk space, an I/O error
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Metric:
    """`unit` is UCUM ("s", "By", "1", "{packet}"); `attributes` identify a series of it."""

    name: str
    unit: str
    kind: Kind
    attributes: tuple[str, ...]
    description: str


def _m(name: str, unit: str, kind: Kind, description: str, *attributes: str) -> Metric:
    return Metric(name, unit, kind, attributes, description)


_DIRECTION = "network.io.direction"  # receive | transmit, as the machine itself sees it
_DISK_DIRECTION = "disk.io.direction"  # read | write
_NIC, _DEVICE, _MAC = "network.interface.name", "system.device", "network.interface.mac"
_FS = ("system.device", "system.filesystem.mountpoint", "system.filesystem.type")
_PAGES = ("system.memory.linux.hugepages.page_size", "system.memory.linux.hugepages.state")
_NODE, _MEMORY_STATE = "system.memory.linux.numa.node", "system.memory.state"
_PART = ("hw.id", "hw.name")
_SENSOR = (*_PART, "hw.parent")
_G, _C, _U = Kind.GAUGE, Kind.COUNTER, Kind.UPDOWN

HOST_METRICS: tuple[Metric, ...] = (
    _m("system.cpu.time", "s", _C, "CPU time by mode, all CPUs together", "cpu.mode"),
    _m(
        "system.cpu.utilization",
        "1",
        _G,
        "Share of all CPUs by mode since the last scrape",
        "cpu.mode",
    ),
    _m("system.cpu.logical.count", "{cpu}", _U, "Logical CPUs"),
    _m("system.cpu.physical.count", "{cpu}", _U, "Physical cores"),
    _m("system.cpu.load_average.1m", "{thread}", _G, "Load average over 1 minute"),
    _m("system.cpu.load_average.5m", "{thread}", _G, "Load average over 5 minutes"),
    _m("system.cpu.load_average.15m", "{thread}", _G, "Load average over 15 minutes"),
    _m("system.memory.usage", "By", _U, "Memory by state", "system.memory.state"),
    _m("system.memory.limit", "By", _U, "Installed memory"),
    _m("system.memory.utilization", "1", _G, "Share of memory by state", "system.memory.state"),
    _m("system.memory.linux.available", "By", _U, "Memory programs can still get without swapping"),
    _m("system.memory.linux.commit.usage", "By", _U, "Memory programs were promised"),
    _m("system.memory.linux.commit.limit", "By", _U, "What they may be promised in strict mode"),
    _m("system.memory.linux.oom_kills", "{kill}", _C, "Processes ended for want of memory"),
    _m("system.memory.linux.hugepages.usage", "{page}", _U, "Huge pages by state", *_PAGES),
    _m("system.memory.linux.hugepages.limit", "{page}", _U, "Huge pages there are", _PAGES[0]),
    _m(
        "system.memory.linux.hugepages.reserved",
        "{page}",
        _U,
        "Free huge pages that are promised already",
        _PAGES[0],
    ),
    _m(
        "system.memory.linux.hugepages.surplus",
        "{page}",
        _U,
        "Huge pages beyond the number that was set",
        _PAGES[0],
    ),
    _m(
        "system.memory.linux.ksm.usage",
        "By",
        _U,
        "Memory KSM looks after, by state; `sharing` is what it saves",
        "system.memory.linux.ksm.state",
    ),
    _m(
        "system.memory.linux.numa.usage",
        "By",
        _U,
        "Memory of a NUMA node by state",
        _NODE,
        _MEMORY_STATE,
    ),
    _m("system.memory.linux.numa.limit", "By", _U, "Memory of a NUMA node", _NODE),
    _m(
        "system.memory.linux.numa.allocations",
        "{page}",
        _C,
        "Pages taken from a NUMA node; `miss`: another node was wanted",
        _NODE,
        "system.memory.linux.numa.allocation",
    ),
    _m(
        "system.memory.linux.numa.hugepages.usage",
        "{page}",
        _U,
        "Huge pages of a NUMA node by state",
        _NODE,
        *_PAGES,
    ),
    _m("system.paging.usage", "By", _U, "Swap by state", "system.paging.state"),
    _m(
        "system.paging.operations",
        "{operation}",
        _C,
        "Swap traffic in pages",
        "system.paging.direction",
    ),
    _m("system.paging.faults", "{fault}", _C, "Page faults", "system.paging.fault.type"),
    _m(
        "system.linux.pressure.stall_time",
        "s",
        _C,
        "Time in which some, or all, tasks waited for a resource",
        "system.linux.pressure.resource",
        "system.linux.pressure.stall_type",
    ),
    _m("system.disk.io", "By", _C, "Bytes read and written", _DEVICE, _DISK_DIRECTION),
    _m("system.disk.operations", "{operation}", _C, "Reads and writes", _DEVICE, _DISK_DIRECTION),
    _m(
        "system.disk.operation_time",
        "s",
        _C,
        "Time spent in operations, summed",
        _DEVICE,
        _DISK_DIRECTION,
    ),
    _m("system.disk.io_time", "s", _C, "Time the device was busy", _DEVICE),
    _m("system.disk.weighted_io_time", "s", _C, "Time operations were in hand, summed", _DEVICE),
    _m("system.disk.pending_operations", "{operation}", _U, "Operations in hand", _DEVICE),
    _m(
        "system.disk.merged",
        "{operation}",
        _C,
        "Reads and writes merged into others",
        _DEVICE,
        _DISK_DIRECTION,
    ),
    _m("system.disk.flush.operations", "{operation}", _C, "Flushes", _DEVICE),
    _m("system.disk.flush.operation_time", "s", _C, "Time spent in flushes, summed", _DEVICE),
    _m("system.filesystem.usage", "By", _U, "Space by state", *_FS, "system.filesystem.state"),
    _m("system.filesystem.limit", "By", _U, "Size of the filesystem", *_FS),
    _m("system.filesystem.utilization", "1", _G, "Share of the space that is used", *_FS),
    _m("system.network.io", "By", _C, "Bytes received and sent", _NIC, _DIRECTION),
    _m("system.network.packet.count", "{packet}", _C, "Packets", _NIC, _DIRECTION),
    _m("system.network.errors", "{error}", _C, "Interface errors", _NIC, _DIRECTION),
    _m("system.network.packet.dropped", "{packet}", _C, "Dropped packets", _NIC, _DIRECTION),
    _m("system.network.conntrack.count", "{entry}", _U, "Connections the kernel follows"),
    _m("system.network.conntrack.max", "{entry}", _U, "Connections it can follow"),
    _m("system.process.count", "{process}", _U, "Processes by state", "process.state"),
    _m("system.uptime", "s", _G, "Time since boot"),
    _m("system.clock.offset", "s", _G, "What is still to correct of the clock"),
    _m("system.clock.max_error", "s", _G, "By how much the clock is off at most"),
    _m("system.clock.synchronized", "1", _G, "1 while the clock is kept right, else 0"),
    _m("hw.temperature", "Cel", _G, "Temperature", *_SENSOR),
    _m("hw.temperature.limit", "Cel", _G, "Temperature limit", *_SENSOR, "hw.limit_type"),
    _m("hw.fan.speed", "rpm", _G, "Fan speed", *_SENSOR),
    _m("hw.network.up", "1", _U, "1 while the link is up, else 0", *_PART),
    _m("hw.network.bandwidth.limit", "By/s", _U, "Speed of the link", *_PART),
    _m(
        "hw.status",
        "1",
        _U,
        "1 for the state a disk is in by its own account (SMART), else 0",
        *_PART,
        "hw.type",
        "hw.state",
    ),
    _m(
        "hw.physical_disk.size",
        "By",
        _U,
        "Size, and which disk it is",
        *_PART,
        "hw.physical_disk.type",
        "hw.model",
        "hw.serial_number",
        "hw.firmware_version",
    ),
    _m(
        "hw.physical_disk.endurance_utilization",
        "1",
        _G,
        "Share of its rated endurance that is left",
        *_PART,
        "hw.physical_disk.state",
    ),
    _m(
        "hw.physical_disk.smart",
        "1",
        _G,
        "What the disk counts of itself, over its whole life",
        *_PART,
        "hw.physical_disk.smart_attribute",
    ),
)

VM_METRICS: tuple[Metric, ...] = (
    _m("vm.state", "1", _G, "1 for the state the VM is in, 0 once for the one it left", "vm.state"),
    _m("vm.cpu.count", "{cpu}", _U, "Virtual CPUs in use"),
    _m("vm.cpu.time", "s", _C, "CPU time the VM consumed on its host"),
    _m("vm.cpu.utilization", "1", _G, "Share of its virtual CPUs used since the last scrape"),
    _m("vm.memory.limit", "By", _U, "Memory the VM may use at most"),
    _m(
        "vm.memory.usage",
        "By",
        _U,
        "Memory in use inside the guest; absent when the guest does not tell",
    ),
    _m("vm.disk.io", "By", _C, "Bytes read and written", _DEVICE, _DISK_DIRECTION),
    _m("vm.disk.operations", "{operation}", _C, "Reads and writes", _DEVICE, _DISK_DIRECTION),
    _m(
        "vm.disk.operation_time",
        "s",
        _C,
        "Time spent in operations, summed",
        _DEVICE,
        _DISK_DIRECTION,
    ),
    _m("vm.disk.limit", "By", _U, "Size the guest sees", _DEVICE),
    _m("vm.disk.usage", "By", _U, "Space the disk takes on its storage", _DEVICE),
    _m("vm.network.io", "By", _C, "Bytes received and sent by the guest", _MAC, _DIRECTION),
    _m("vm.network.packet.count", "{packet}", _C, "Packets", _MAC, _DIRECTION),
    _m("vm.network.errors", "{error}", _C, "Interface errors", _MAC, _DIRECTION),
    _m("vm.network.packet.dropped", "{packet}", _C, "Dropped packets", _MAC, _DIRECTION),
)

_VCPU = "cpu.logical_number"
_JOB = "libvirt.job.operation"  # migration_out | save | snapshot | ..., in libvirt's words
_POOL = "libvirt.pool.name"
_NETWORK = "libvirt.network.name"

LIBVIRT_METRICS: tuple[Metric, ...] = (
    _m("libvirt.vcpu.time", "s", _C, "CPU time of one virtual CPU", _VCPU),
    _m("libvirt.vcpu.wait_time", "s", _C, "Time a virtual CPU waited for I/O", _VCPU),
    _m(
        "libvirt.vcpu.delay_time",
        "s",
        _C,
        "Time a virtual CPU was ready and not run (steal)",
        _VCPU,
    ),
    _m("libvirt.memory.balloon", "By", _U, "Memory the balloon leaves to the guest"),
    _m("libvirt.memory.rss", "By", _U, "Resident memory of the QEMU process"),
    _m(
        "libvirt.memory.unused",
        "By",
        _U,
        "Memory the guest leaves idle; absent when it does not tell",
    ),
    _m(
        "libvirt.memory.usable",
        "By",
        _U,
        "Memory the guest could still get; absent when it does not tell",
    ),
    _m("libvirt.memory.disk_caches", "By", _U, "Guest's page cache; absent when it does not tell"),
    _m("libvirt.memory.faults", "{fault}", _C, "Guest's page faults", "system.paging.fault.type"),
    _m("libvirt.memory.swap", "By", _C, "Guest's swap traffic", "system.paging.direction"),
    _m("libvirt.disk.flush.operations", "{operation}", _C, "Flushes", _DEVICE),
    _m("libvirt.disk.flush.operation_time", "s", _C, "Time spent in flushes, summed", _DEVICE),
    _m(
        "libvirt.host.cpu.time",
        "s",
        _C,
        "The host's CPU time by mode, as libvirt sees it",
        "cpu.mode",
    ),
    _m("libvirt.host.cpu.count", "{cpu}", _U, "The host's logical CPUs, as libvirt sees them"),
    _m("libvirt.host.memory.limit", "By", _U, "The host's memory, as libvirt sees it"),
    _m("libvirt.host.memory.usage", "By", _U, "The host's memory by state", "system.memory.state"),
    _m("libvirt.host.vm.count", "{vm}", _U, "VMs on the host by state", "vm.state"),
    _m(
        "libvirt.process.disk.io",
        "By",
        _C,
        "Bytes the QEMU process moved on the host's own devices; needs control groups v2",
        _DISK_DIRECTION,
    ),
    _m(
        "libvirt.monitor.responding",
        "1",
        _G,
        "1 while the QEMU process answers; 0: its disks and memory are not known",
    ),
    _m("libvirt.job.elapsed_time", "s", _G, "Since the job at hand began", _JOB),
    _m("libvirt.job.downtime", "s", _G, "How long the VM will stand still for the job", _JOB),
    _m("libvirt.job.data.limit", "By", _U, "What the job has to move", _JOB),
    _m("libvirt.job.data.processed", "By", _U, "What the job has moved", _JOB),
    _m("libvirt.job.data.remaining", "By", _U, "What the job has still to move", _JOB),
    _m(
        "libvirt.job.memory.iteration.count",
        "{iteration}",
        _U,
        "Rounds over memory that a migration has made",
        _JOB,
    ),
    _m("libvirt.pool.active", "1", _G, "1 while the storage pool is active", _POOL),
    _m("libvirt.pool.limit", "By", _U, "Size of the storage pool", _POOL),
    _m("libvirt.pool.usage", "By", _U, "Space taken in the storage pool", _POOL),
    _m("libvirt.network.active", "1", _G, "1 while the network is active", _NETWORK),
    _m(
        "libvirt.network.lease.count",
        "{lease}",
        _U,
        "Addresses that the network's DHCP server has given out",
        _NETWORK,
    ),
)

_TO, _WHY = "novacron.destination", "novacron.reason"
_COMMAND_STATE = "novacron.command.state"

AGENT_METRICS: tuple[Metric, ...] = (
    _m("novacron.agent.scrape.duration", "s", _G, "Time a scrape took", "novacron.source"),
    _m("novacron.agent.scrape.stuck", "{vm}", _U, "VMs that do not answer", "novacron.source"),
    _m("novacron.agent.scrape.errors", "{error}", _C, "Scrapes that failed", "novacron.source"),
    _m("novacron.agent.export.points", "{point}", _C, "Points the destination took", _TO),
    _m("novacron.agent.export.errors", "{error}", _C, "Attempts that are made again", _TO),
    _m("novacron.agent.export.dropped", "{point}", _C, "Points it refused", _TO, _WHY),
    _m("novacron.agent.export.dead_letters", "{batch}", _C, "Batches it refused", _TO),
    _m("novacron.agent.spool.batch.count", "{batch}", _U, "Batches that wait", _TO),
    _m("novacron.agent.spool.size", "By", _U, "Disk they take", _TO),
    _m("novacron.agent.spool.age", "s", _G, "How long the oldest waits", _TO),
    _m("novacron.agent.spool.dropped", "{point}", _C, "Points that will never be sent", _TO, _WHY),
    _m("novacron.agent.spool.errors", "{error}", _C, "Writes to disk that failed", _TO),
    _m("novacron.agent.spool.set_aside", "{file}", _C, "Damaged files that were put away", _TO),
    _m("novacron.agent.gap.duration", "s", _G, "Length of a gap, at its end", _TO, _WHY),
    _m(
        "novacron.agent.gap.points", "{point}", _G, "Points that a gap lacks, at its end", _TO, _WHY
    ),
    _m(
        "novacron.agent.command.active",
        "{command}",
        _U,
        "Commands that wait (`accepted`) or run",
        _COMMAND_STATE,
    ),
    _m(
        "novacron.agent.command.ended",
        "{command}",
        _C,
        "Commands that came to their end",
        "novacron.command.verb",
        _COMMAND_STATE,
    ),
    _m(
        "novacron.agent.command.report.count",
        "{report}",
        _U,
        "Reports that the collector has not taken yet",
    ),
    _m(
        "novacron.agent.channel.errors",
        "{error}",
        _C,
        "Polls for commands, and reports of them, that failed",
        "novacron.request",
    ),
    _m("novacron.agent.journal.errors", "{error}", _C, "Writes to the journal that failed"),
    _m("novacron.agent.journal.set_aside", "{file}", _C, "Damaged journals that were put away"),
    _m("process.memory.usage", "By", _U, "Resident memory of the agent"),
    _m("process.cpu.time", "s", _C, "CPU time of the agent by mode", "cpu.mode"),
)

METRICS: tuple[Metric, ...] = HOST_METRICS + VM_METRICS + LIBVIRT_METRICS + AGENT_METRICS
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
