"""A KVM host in trouble: guests whose QEMU hangs or crashes, and a libvirtd that goes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import libvirt
import pytest

from kvm_herd import Herd, herd_of
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.providers.kvm.monitor import Asked, Monitors
from novacron_contract.metrics import VM_NAME
from novacron_lab import libvirtd
from provider_contract import guests, states

pytestmark = pytest.mark.lab
_GUESTS = 8
_DISKS = libvirt.VIR_DOMAIN_STATS_BLOCK


@pytest.fixture(scope="module")
def world() -> Iterator[Herd]:
    with herd_of(_GUESTS) as found:
        yield found


@pytest.fixture
def kvm(world: Herd) -> Iterator[KvmProvider]:
    provider = KvmProvider(uri=world.host.uri, disk_interval=1, memory_interval=1)
    yield provider
    provider.close()


def test_who_hangs_in_the_middle_of_a_question_is_left_alone_until_it_answers(
    world: Herd,
) -> None:
    """As it is of a QEMU whose process looks well: nobody can tell but by asking."""
    monitors = Monitors(world.host.uri, deadline_s=1.0)
    asked = [Asked(world.uuid(name), 1, _DISKS, job=False) for name in world.names]
    stuck, other = world.names[2], world.names[5]

    def answered() -> set[str]:
        found = monitors.ask(asked)
        assert found.failures == []
        return {a.uuid for a in found.answers if "block.0.rd.bytes" in a.stats}

    everybody = {a.uuid for a in asked}
    assert answered() == everybody
    with world.hung(stuck, other):
        assert answered() == everybody - {world.uuid(stuck), world.uuid(other)}
        assert monitors.hanging == {world.uuid(stuck), world.uuid(other)}
        started = time.monotonic()
        assert len(answered()) == _GUESTS - 2
        assert time.monotonic() - started < 2, "nobody waits for them again"
    deadline = time.monotonic() + 10
    while monitors.hanging:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answered() == everybody
    monitors.close()


def test_few_of_libvirtds_threads_are_left_hanging(world: Herd) -> None:
    monitors = Monitors(world.host.uri, deadline_s=0.5)
    asked = [Asked(world.uuid(name), 1, _DISKS, job=False) for name in world.names]
    with world.hung(*world.names[:6]):
        found = monitors.ask(asked)
        assert len(monitors.hanging) == 4
        assert found.failures == ["too many guests hang: the others' QEMUs are not asked"]
        assert len(world.conn.listAllDomains()) == _GUESTS, "libvirtd has threads for others"
    deadline = time.monotonic() + 10
    while monitors.hanging:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(monitors.ask(asked).answers) == _GUESTS
    monitors.close()


def told_state(
    kvm: KvmProvider, told: threading.Event, name: str, becomes: str, seconds: float = 20
) -> dict[str | int | float, float]:
    """What is told when it has become this. Libvirt may tell of what was before once more."""
    deadline = time.monotonic() + seconds
    while told.wait(max(0.0, deadline - time.monotonic())):
        told.clear()
        for reading in kvm.changes(None).readings:
            if reading.resource[VM_NAME] == name and states(reading).get(becomes) == 1:
                return states(reading)
    return {}


def test_a_pause_a_crash_and_a_start_are_told_at_once(world: Herd, kvm: KvmProvider) -> None:
    name = "spare"
    told = threading.Event()
    kvm.watch(told.set)
    with world.spare(name) as domain:
        kvm.scrape(None)
        kvm.changes(None)
        told.clear()

        domain.create()
        assert told_state(kvm, told, name, "running")
        domain.suspend()
        assert told_state(kvm, told, name, "paused") == {"running": 0, "paused": 1}
        domain.resume()
        assert told_state(kvm, told, name, "running") == {"paused": 0, "running": 1}
        os.kill(world.qemu(name), signal.SIGKILL)
        assert told_state(kvm, told, name, "crashed") == {"running": 0, "crashed": 1}
        scrape = kvm.scrape(None)
        [seen] = [g for g in guests(scrape) if g.resource[VM_NAME] == name]
        assert states(seen) == {"crashed": 1}
        domain.create()
        assert told_state(kvm, told, name, "running") == {"crashed": 0, "running": 1}
        domain.destroy()
        assert told_state(kvm, told, name, "stopped")


def test_changes_are_told_after_libvirtd_was_killed(world: Herd, kvm: KvmProvider) -> None:
    kvm.scrape(None)
    pid = libvirtd.pid(world.host)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    world.lab.up()
    kvm.scrape(None)

    told = threading.Event()
    kvm.watch(told.set)
    kvm.changes(None)
    told.clear()
    conn = libvirt.open(world.host.uri)
    conn.lookupByName(world.names[0]).resume()
    assert told_state(kvm, told, world.names[0], "running")
    conn.lookupByName(world.names[0]).suspend()
    conn.close()
