"""Machines: what belongs together side by side, one line for a first query."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_store.telemetry.views.view import NAME, OPTIONAL, TS, View, quoted


@dataclass(frozen=True, slots=True)
class Value:
    """A column made of one metric, or of those of its series whose attribute `key` is `label`."""

    column: str
    metric: str
    comment: str
    key: str = ""
    label: str = ""

    @property
    def condition(self) -> str:
        wanted = f"metric = {quoted(self.metric)}"
        if self.key:
            wanted += f" AND attributes[{quoted(self.key)}] = {quoted(self.label)}"
        return wanted


def _side_by_side(
    name: str,
    comment: str,
    values: tuple[Value, ...],
    labels: tuple[tuple[str, str, str], ...] = (),
    rates: bool = False,
) -> View:
    """Metrics of one machine as columns: values as sampled, or rates in buckets of 5 minutes.

    `labels` are (column, attribute, comment): one row for each of their values.
    """
    who = name.partition("_")[0]
    time = ("t", "DateTime('UTC')") if rates else ("ts", TS)
    source = "metrics_5m" if rates else "metrics_raw"
    take = "sumIfOrNull(rate" if rates else "anyIf(toNullable(value)"
    metrics = ", ".join(sorted({quoted(value.metric) for value in values}))
    select = [f"entity AS {who}", "any(r.name) AS name"]
    select += [f"attributes[{quoted(key)}] AS {column}" for column, key, _ in labels]
    select += [time[0], *(f"{take}, {value.condition}) AS {value.column}" for value in values)]
    groups = [who, *(column for column, _, _ in labels), time[0]]
    columns = ",\n    ".join(select)
    return View(
        name,
        comment,
        (
            (who, NAME),
            ("name", "String"),
            *((column, "String", text) for column, _, text in labels),
            time,
            *((value.column, OPTIONAL, value.comment) for value in values),
        ),
        f"SELECT {columns}\nFROM {source} AS r\nWHERE metric IN ({metrics})\n"
        f"GROUP BY {', '.join(groups)}",
    )


_DISK_LABEL = (("device", "system.device", "the disk"),)
_VM_LABEL = (("mac", "network.interface.mac", "MAC address of the interface"),)
_HOST_LABEL = (("interface", "network.interface.name", "the interface"),)


def _disk(who: str, prefix: str) -> View:
    key = "disk.io.direction"
    return _side_by_side(
        f"{who}_disk",
        f"Disk traffic of each {who} and disk, in buckets of 5 minutes",
        (
            Value("read", f"{prefix}.disk.io", "By/s read", key, "read"),
            Value("written", f"{prefix}.disk.io", "By/s written", key, "write"),
            Value("reads", f"{prefix}.disk.operations", "read operations per s", key, "read"),
            Value("writes", f"{prefix}.disk.operations", "write operations per s", key, "write"),
        ),
        _DISK_LABEL,
        rates=True,
    )


def _network(who: str, prefix: str, labels: tuple[tuple[str, str, str], ...]) -> View:
    key = "network.io.direction"
    packets, dropped = f"{prefix}.network.packet.count", f"{prefix}.network.packet.dropped"
    return _side_by_side(
        f"{who}_network",
        f"Network traffic of each {who} and interface, in buckets of 5 minutes",
        (
            Value("received", f"{prefix}.network.io", "By/s received", key, "receive"),
            Value("sent", f"{prefix}.network.io", "By/s sent", key, "transmit"),
            Value("packets_received", packets, "packets received per s", key, "receive"),
            Value("packets_sent", packets, "packets sent per s", key, "transmit"),
            Value("drops_received", dropped, "incoming packets dropped per s", key, "receive"),
            Value("drops_sent", dropped, "outgoing packets dropped per s", key, "transmit"),
        ),
        labels,
        rates=True,
    )


_MODE, _MEMORY = "cpu.mode", "system.memory.state"
_CPU, _LOAD = "system.cpu.utilization", "system.cpu.load_average"

MACHINES = (
    _side_by_side(
        "vm_cpu",
        "CPU of each VM, as its hypervisor sees it",
        (
            Value("utilization", "vm.cpu.utilization", "share of its virtual CPUs used, 0 to 1"),
            Value("cpus", "vm.cpu.count", "virtual CPUs"),
            Value("cpu_seconds", "vm.cpu.time", "CPU time consumed since it started, s"),
        ),
    ),
    _side_by_side(
        "vm_memory",
        "Memory of each VM in bytes",
        (
            Value("usage", "vm.memory.usage", "in use inside; NULL when the guest does not tell"),
            Value("memory_limit", "vm.memory.limit", "what the VM may use at most"),
        ),
    ),
    _disk("vm", "vm"),
    _network("vm", "vm", _VM_LABEL),
    View(
        "vm_state",
        "The newest state of each VM that reported one during the last day",
        (
            ("vm", NAME),
            ("name", "String"),
            ("state", "String", "running, paused, stopping, stopped, suspended, crashed, …"),
            ("ts", TS, "time of the report, UTC"),
        ),
        """SELECT entity AS vm, any(r.name) AS name, argMax(attributes['vm.state'], r.ts) AS state,
    max(r.ts) AS ts
FROM metrics_raw AS r
WHERE metric = 'vm.state' AND value = 1 AND r.ts > now64(3) - INTERVAL 1 DAY
GROUP BY vm""",
    ),
    _side_by_side(
        "host_cpu",
        "CPU of each host: shares of all its CPUs by mode, 0 to 1, and load",
        (
            *(
                Value(mode, _CPU, f"share in mode {mode}", _MODE, mode)
                for mode in ("user", "system", "iowait", "steal", "idle")
            ),
            Value("cpus", "system.cpu.logical.count", "logical CPUs"),
            Value("load_1m", f"{_LOAD}.1m", "load average over 1 minute"),
            Value("load_5m", f"{_LOAD}.5m", "load average over 5 minutes"),
            Value("load_15m", f"{_LOAD}.15m", "load average over 15 minutes"),
        ),
    ),
    _side_by_side(
        "host_memory",
        "Memory of each host in bytes",
        (
            *(
                Value(state, "system.memory.usage", f"memory that is {state}", _MEMORY, state)
                for state in ("used", "free", "cached", "buffers")
            ),
            Value("available", "system.memory.linux.available", "to be had without swapping"),
            Value("installed", "system.memory.limit", "installed memory"),
        ),
    ),
    _disk("host", "system"),
    _network("host", "system", _HOST_LABEL),
    _side_by_side(
        "host_filesystem",
        "Filesystems of each host",
        (
            Value("utilization", "system.filesystem.utilization", "share of the space used"),
            Value("size", "system.filesystem.limit", "its size in bytes"),
        ),
        (("mountpoint", "system.filesystem.mountpoint", "where it is mounted"),),
    ),
)
