"""Commands to real guests of real KVM hosts, and to some whose QEMU hangs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import libvirt
import pytest

from kvm_herd import Herd, herd_of, spare_xml
from lifecycle_contract import Heard, LifecycleContract, done, force, order
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.lifecycle import (
    EffectFailed,
    EffectUnknown,
    Lifecycle,
    VmNotFound,
)
from novacron_contract.commands import Verb
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from novacron_lab import libvirtd
from novacron_lab.plan import GUESTS

pytestmark = pytest.mark.lab
_GUESTS = 4
VM = "commanded"


@pytest.fixture(scope="module")
def one_world() -> Iterator[Herd]:
    """Paused guests without a system, and one that boots."""
    with herd_of(_GUESTS, GUESTS[:1]) as found:
        yield found


@pytest.fixture
def world(one_world: Herd) -> Iterator[Herd]:
    """libvirtd may have been killed since."""
    conn = libvirt.open(one_world.host.uri)
    yield replace(one_world, conn=conn)
    conn.close()


@pytest.fixture
def kvm(world: Herd) -> Iterator[Lifecycle]:
    lifecycle = KvmLifecycle(world.host.uri)
    yield lifecycle
    lifecycle.close()


@pytest.fixture
def commanded(world: Herd) -> Iterator[str]:
    """Firmware alone, which does not react to its power button."""
    domain = world.conn.defineXML(spare_xml(world.conn.lookupByName(world.names[0]).XMLDesc(), VM))
    domain.create()
    yield str(domain.UUIDString())
    conn = libvirt.open(world.host.uri)  # libvirtd may have been killed since
    left = conn.lookupByName(VM)
    if left.isActive():
        left.destroy()
    left.undefine()
    conn.close()


@pytest.fixture
def vm(commanded: str) -> str:
    return commanded


class TestKvmLifecycleOnARealHost(LifecycleContract):
    @pytest.fixture
    def lifecycle(self, kvm: Lifecycle) -> Lifecycle:
        return kvm

    @pytest.fixture
    def vm(self, commanded: str) -> str:
        return commanded

    @pytest.fixture
    def out_of_reach(self, world: Herd) -> Lifecycle:
        return KvmLifecycle(world.host.uri.replace("libvirt-sock", "nothing-here"))


def test_a_guest_that_does_not_react_loses_its_power_after_the_grace(
    kvm: Lifecycle, vm: str
) -> None:
    heard = Heard()
    began = time.monotonic()
    stop = order(Verb.STOP, vm, grace_s=2)

    ended = kvm.perform(stop, heard, time.monotonic() + 60)

    assert ended.detail == {"forced": True}
    assert 2 <= time.monotonic() - began < 20
    assert heard.told[0] == "waits up to 2 s for the guest to shut down"
    assert heard.told[-1] == "its power is taken away"
    assert kvm.find(vm, 5).state is VmState.STOPPED


def test_a_guest_that_is_never_forced_goes_on(kvm: Lifecycle, vm: str) -> None:
    with pytest.raises(EffectFailed, match="asked to shut down and did not in time; it still may"):
        done(kvm, Verb.STOP, vm, grace_s=1, force="never")
    assert kvm.find(vm, 5).state is VmState.RUNNING


def test_a_guest_that_boots_restarts_and_shuts_down_when_it_is_asked(
    world: Herd, kvm: Lifecycle
) -> None:
    world.lab.wait_until_up()
    guest = world.lab.guests[0]
    heard = Heard()
    before = guest.console.read_bytes().count(b"LAB-GUEST-UP")

    asked = kvm.perform(order(Verb.REBOOT, guest.uuid), heard, time.monotonic() + 60)

    assert asked.text == "the guest has restarted"
    assert heard.witnessed == ["the guest has restarted"]
    deadline = time.monotonic() + 60
    while guest.console.read_bytes().count(b"LAB-GUEST-UP") == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)

    ended = done(kvm, Verb.STOP, guest.uuid, grace_s=40, force="never")

    assert (ended.changed, ended.detail) == (True, {"forced": False})
    domain = world.conn.lookupByUUIDString(guest.uuid)
    assert domain.state()[1] == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN


def test_a_guest_that_does_not_restart_is_told(kvm: Lifecycle, vm: str) -> None:
    with pytest.raises(EffectFailed, match=r"asked to restart, and did not in time.*reset it"):
        kvm.perform(order(Verb.REBOOT, vm), Heard(), time.monotonic() + 2)


def test_a_qemu_that_hangs_holds_up_no_other_and_can_be_ended(
    world: Herd, kvm: Lifecycle, vm: str
) -> None:
    others = [world.uuid(name) for name in world.names]
    with world.hung(VM):
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            stuck = pool.submit(kvm.perform, order(Verb.SUSPEND, vm), Heard(), time.monotonic() + 3)
            time.sleep(0.5)
            for other in others:
                assert done(kvm, Verb.RESUME, other).changed
                assert done(kvm, Verb.SUSPEND, other).changed
            assert time.monotonic() - began < 3
            with pytest.raises(EffectUnknown, match="does the VM's QEMU hang"):
                stuck.result()
        with pytest.raises(Unavailable, match="an earlier call for this VM still hangs"):
            done(kvm, Verb.RESET, vm)
        assert kvm.find(vm, 5).state is VmState.RUNNING

        began = time.monotonic()
        assert force(kvm, vm).changed
        assert time.monotonic() - began < 30

        assert kvm.find(vm, 5).state is VmState.STOPPED
    assert done(kvm, Verb.START, vm).changed


def test_a_qemu_that_hangs_while_it_is_asked_to_stop_is_ended(
    world: Herd, kvm: Lifecycle, vm: str
) -> None:
    with world.hung(VM):
        began = time.monotonic()
        assert done(kvm, Verb.STOP, vm, grace_s=1).detail == {"forced": True}
        assert time.monotonic() - began < 60


def test_libvirtd_may_be_killed_while_a_guest_is_asked_to_stop(
    world: Herd, kvm: Lifecycle, vm: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        stop = order(Verb.STOP, vm, grace_s=8)
        stopping = pool.submit(kvm.perform, stop, Heard(), time.monotonic() + 60)
        time.sleep(1)
        pid = libvirtd.pid(world.host)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        world.lab.up()
        assert stopping.result().changed
    assert kvm.find(vm, 5).state is VmState.STOPPED


def test_a_transient_guest_vanishes(world: Herd, kvm: Lifecycle) -> None:
    with world.spare("passing") as domain:
        xml = domain.XMLDesc().replace("passing", "transient").replace(domain.UUIDString(), "")
        xml = xml.replace("<uuid></uuid>", "")
        transient = world.conn.createXML(xml)
    vm = str(transient.UUIDString())

    assert done(kvm, Verb.STOP, vm, grace_s=1).detail == {"transient": True, "forced": True}
    with pytest.raises(VmNotFound):
        kvm.find(vm, 5)


_ASK = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
for finding in KvmLifecycle(sys.argv[1]).check(10):
    print(finding)
"""


def test_a_user_who_may_only_look_is_told_what_to_grant(world: Herd) -> None:
    socket = world.host.socket
    mode = socket.stat().st_mode
    folders = [one for one in socket.parents if str(one).startswith("/tmp/")]
    modes = [(folder, folder.stat().st_mode) for folder in folders]
    try:
        for folder, before in modes:
            folder.chmod(stat.S_IMODE(before) | 0o055)
        socket.chmod(0o660)
        said = subprocess.run(
            (sys.executable, "-c", _ASK, world.host.uri), capture_output=True, text=True
        )
    finally:
        socket.chmod(stat.S_IMODE(mode))
        for folder, before in modes:
            folder.chmod(stat.S_IMODE(before))

    assert said.stdout.startswith("FAIL  commands by libvirt"), said.stderr
    assert "lets this user only look" in said.stdout
    assert "docs/install.md" in said.stdout


def test_threads_and_connections_are_not_left_behind(kvm: Lifecycle, vm: str) -> None:
    before = threading.active_count()
    for _ in range(20):
        done(kvm, Verb.SUSPEND, vm)
        done(kvm, Verb.RESUME, vm)
    assert threading.active_count() <= before + 2
