"""The KVM provider on real KVM hosts: libvirtd, QEMU and guests that work."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import libvirt
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from novacron_agent.cli import main
from novacron_agent.identity import Machine
from novacron_agent.otlp import Encoder
from novacron_agent.providers import Provider
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.readings import Reading
from novacron_contract.metrics import HOST_ID, LIBVIRT_METRICS, VM_ID, VM_METRICS, VM_NAME
from novacron_lab import libvirtd
from novacron_lab.guests import Guest
from novacron_lab.lab import Lab
from novacron_lab.layout import Host
from otlp_rules import faults, steps_back
from provider_contract import ProviderContract, guests, values

pytestmark = pytest.mark.lab
T = TypeVar("T")


@pytest.fixture
def host(lab: Lab) -> Host:
    lab.wait_until_up()
    return lab.hosts[0]


@pytest.fixture
def kvm(host: Host) -> Iterator[KvmProvider]:
    provider = often(host)
    yield provider
    provider.close()


def often(host: Host) -> KvmProvider:
    """Everything is measured anew each second."""
    return KvmProvider(uri=host.uri, disk_interval=1, memory_interval=1, storage_interval=1)


@pytest.fixture
def guest(lab: Lab, host: Host) -> Guest:
    return next(guest for guest in lab.guests if guest.host == host)


@pytest.fixture
def spare(host: Host, tmp_path: Path) -> Iterator[libvirt.virDomain]:
    """A guest of firmware alone, that a test may start, stop, hang and move."""
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.write(b"\1" * 2**20)
        file.truncate(8 * 2**20)
    conn = libvirt.open(host.uri)
    domain = conn.defineXML(
        f"""<domain type='qemu'><name>spare</name><memory unit='MiB'>64</memory>
        <vcpu current='1'>2</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
        <features><acpi/></features>
        <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>
        <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
        <interface type='network'><source network='lan'/><model type='virtio'/>
        <mac address='52:54:00:12:34:56'/><rom enabled='no'/></interface></devices></domain>"""
    )
    yield domain
    for left in conn.listAllDomains():  # it may have moved away
        if left.name() == "spare":
            if left.isActive():
                left.destroy()
            left.undefine()
    conn.close()


class TestKvmProviderOnARealHost(ProviderContract):
    @pytest.fixture
    def provider(self, kvm: KvmProvider) -> Provider:
        return kvm

    @pytest.fixture
    def unreachable(self, host: Host) -> Provider:
        return KvmProvider(uri=host.uri.replace("libvirt-sock", "nothing-here"))


def named(provider: Provider, name: str) -> Reading:
    [reading] = [g for g in guests(provider.scrape(None)) if g.resource[VM_NAME] == name]
    return reading


def wait_until(look: Callable[[], T], is_right: Callable[[T], bool], timeout: float = 30) -> T:
    deadline = time.monotonic() + timeout
    while not is_right(found := look()):
        assert time.monotonic() < deadline, f"still {found!r}"
        time.sleep(0.2)
    return found


def test_a_working_guest_has_every_metric_of_the_contract(kvm: KvmProvider, guest: Guest) -> None:
    def missing() -> set[str]:
        time.sleep(1)
        seen.update(s.metric.name for r in kvm.scrape(None).readings for s in r.samples)
        return {metric.name for metric in VM_METRICS + LIBVIRT_METRICS} - seen

    # The balloon speaks up some seconds after the guest has booted. A lab's hosts have no control
    # groups and no pools; their kernel may not tell how long a virtual CPU waited; nothing moves.
    seen: set[str] = set()
    elsewhere = {
        "libvirt.host.cpu.time",
        "libvirt.process.disk.io",
        "libvirt.vcpu.wait_time",
    }
    jobs_and_pools = ("libvirt.job.", "libvirt.pool.")
    wait_until(
        missing,
        lambda names: {n for n in names if not n.startswith(jobs_and_pools)} <= elsewhere,
    )
    time.sleep(1)
    reading = named(kvm, guest.name)
    [used], [limit] = (values(reading, f"vm.memory.{name}").values() for name in ("usage", "limit"))
    assert 2 * 2**20 < used < limit == guest.plan.memory_mib * 2**20
    assert values(reading, "vm.disk.limit") == {("vda",): 64 * 2**20}
    assert reading.resource[VM_ID] == guest.uuid


def test_two_ticks_in_one_request_are_right_by_otlps_rules(kvm: KvmProvider) -> None:
    """As when a slow libvirt answers with the next tick."""
    late = kvm.scrape(None).readings
    time.sleep(1)
    [request] = Encoder("1").encode([*kvm.scrape(None).readings, *late])

    message = ExportMetricsServiceRequest.FromString(gzip.decompress(request.body))
    assert faults(message) == []
    assert steps_back([message]) == []


def test_the_host_is_known_by_libvirts_uuid_and_its_own_name(kvm: KvmProvider, host: Host) -> None:
    reading, *_guests = kvm.scrape(None).readings

    assert reading.resource[HOST_ID] == host.uuid
    assert reading.resource["host.name"] == host.name
    assert reading.resource["libvirt.version"] == "9.0.0"
    assert values(reading, "libvirt.host.vm.count")["running",] >= 2
    [limit] = values(reading, "libvirt.host.memory.limit").values()
    assert sum(values(reading, "libvirt.host.memory.usage").values()) == limit


def test_a_hypervisor_on_the_measured_machine_reports_under_its_resource(
    kvm: KvmProvider,
) -> None:
    machine = Machine(id="m1", name="kvm-1", arch="amd64", os_description="Debian")

    host, guest = kvm.scrape(machine).readings[:2]

    assert host.resource == {**machine.resource, "libvirt.version": "9.0.0"}
    assert guest.resource["vm.host.id"] == "m1"


def test_load_in_a_guest_shows_in_its_utilization(lab: Lab, kvm: KvmProvider, guest: Guest) -> None:
    kvm.scrape(None)
    lab.load(guest.name, seconds=8)

    def utilization() -> float:
        time.sleep(1)
        return max(values(named(kvm, guest.name), "vm.cpu.utilization").values(), default=0)

    wait_until(utilization, lambda share: share > 0.4)


def test_what_a_guest_sends_is_transmitted_as_it_sees_it(
    kvm: KvmProvider, guest: Guest, host: Host
) -> None:
    def io() -> dict[tuple[str | int | float, ...], float]:
        return {key[1:]: v for key, v in values(named(kvm, guest.name), "vm.network.io").items()}

    before = io()
    for _ in range(4):  # the host fetches 1 MiB from the guest
        request = "GET /1024 HTTP/1.0\r\n\r\n"
        host.namespace.run("busybox", "nc", "-w", "5", guest.address, "80", stdin=request)
    after = io()

    sent, received = (after[key] - before[key] for key in (("transmit",), ("receive",)))
    assert sent >= 4 * 2**20
    assert received < sent / 2


def test_a_restart_begins_the_counters_and_their_start_anew(
    host: Host, kvm: KvmProvider, spare: libvirt.virDomain
) -> None:
    off = named(kvm, "spare")
    assert values(off, "vm.state") == {("stopped",): 1}
    assert values(off, "vm.cpu.count") == {(): 1}
    assert values(off, "vm.memory.limit") == {(): 64 * 2**20}
    assert values(off, "vm.disk.limit") == {("vda",): 8 * 2**20}
    assert values(off, "vm.disk.usage") == {("vda",): 2**20}
    assert values(off, "vm.cpu.time") == {}

    spare.create()
    first = named(kvm, "spare")
    assert values(first, "vm.state") == {("stopped",): 0, ("running",): 1}
    assert values(first, "vm.disk.usage") == {("vda",): 2**20}
    assert values(first, "vm.memory.usage") == {}, "firmware has no balloon driver"
    assert abs(first.start_ns - time.time_ns()) < 10e9

    another_agent = often(host)
    assert named(another_agent, "spare").start_ns == first.start_ns, "an agent's restart is none"
    another_agent.close()

    spare.destroy()
    spare.create()
    second = named(kvm, "spare")
    assert second.start_ns > first.start_ns
    assert values(second, "vm.cpu.utilization") == {}


def test_an_interface_that_is_plugged_in_is_measured_by_its_mac(
    kvm: KvmProvider, spare: libvirt.virDomain
) -> None:
    spare.create()

    def macs() -> set[str | int | float]:
        return {key[0] for key in values(named(kvm, "spare"), "vm.network.io")}

    assert macs() == {"52:54:00:12:34:56"}
    spare.attachDeviceFlags(
        """<interface type='network'><source network='lan'/><model type='virtio'/>
        <mac address='52:54:00:12:34:57'/><rom enabled='no'/></interface>""",
        libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )
    assert macs() == {"52:54:00:12:34:56", "52:54:00:12:34:57"}


def test_a_guest_that_moves_is_reported_by_one_host_at_a_time(
    lab: Lab, kvm: KvmProvider, spare: libvirt.virDomain
) -> None:
    there = lab.hosts[1]
    other = often(there)
    spare.create()
    uuid = spare.UUIDString()
    target = libvirt.open(there.uri)
    flags = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_UNSAFE  # the disk is one file, which libvirt cannot know
        | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    )

    def seen() -> list[Reading]:
        """The target first: asked the other way round, the guest may move in between."""
        return [
            reading
            for provider in (other, kvm)
            for reading in guests(provider.scrape(None))
            if reading.resource[VM_ID] == uuid
        ]

    [before] = seen()
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(spare.migrate, target, flags, None, f"tcp:{there.address}", 0)
        while not moving.done():
            assert len(seen()) <= 1
        moved = moving.result()
    try:
        [after] = seen()
        assert after.resource["vm.host.id"] == there.uuid != before.resource["vm.host.id"]
        assert values(after, "vm.state") == {("running",): 1}
        assert values(after, "vm.network.io").keys() == values(before, "vm.network.io").keys()
        assert after.start_ns > before.start_ns, "its counters begin anew over there"
    finally:
        moved.destroy()
        other.close()
        target.close()


def test_libvirtd_may_be_restarted(lab: Lab, kvm: KvmProvider, host: Host, guest: Guest) -> None:
    before = named(kvm, guest.name)
    pid = libvirtd.pid(host)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lab.up()

    after = wait_until(lambda: named(kvm, guest.name), lambda r: bool(values(r, "vm.cpu.time")))

    assert after.start_ns == before.start_ns
    assert values(after, "vm.cpu.time")[()] >= values(before, "vm.cpu.time")[()]


def test_once_shows_the_guests_of_a_hypervisor(
    host: Host, tmp_path: Path, guest: Guest, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'[host]\nenabled = false\n[provider]\nname = "kvm"\nuri = "{host.uri}"\n')

    assert main(["--config", str(config), "--once", "--json"]) == 0

    machines = json.loads(capsys.readouterr().out)
    names = [machine["resource"].get("vm.name") for machine in machines]
    assert guest.name in names
